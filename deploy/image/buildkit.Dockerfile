# BuildKit for the local platform, from the binaries it compiled itself. A cluster of your own takes moby/buildkit.
# The build context is a folder that holds the three binaries.
FROM debian:bookworm-slim
COPY buildkitd buildctl runc /usr/bin/
ENTRYPOINT ["/usr/bin/buildkitd"]
