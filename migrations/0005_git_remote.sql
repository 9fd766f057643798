-- An application without a forge is pushed to Slipway's own git remote.
alter table app alter column forge drop not null;
alter table app alter column repo_url drop not null;
alter table app add constraint forge_iff_repo_url check ((forge is null) = (repo_url is null));

-- What git clients are shown as the branch: its newest commit that was live, and the build that made it so.
alter table branch add column head text;
alter table branch add column head_number int not null default 0;

-- A push is written down before git takes it (receiving) and decided after: accepted is a build of its own, attached the
-- build that it found.
create type push_state as enum ('receiving', 'accepted', 'attached', 'rejected', 'aborted');
alter table push alter column generation drop not null;
alter table push
    add column state   push_state not null default 'accepted',
    add column old     text,
    add column pusher  text,
    add column options jsonb not null default '{}',
    add column why     text,
    add column seen_at timestamptz not null default now(),
    add constraint generation_iff_accepted check ((state = 'accepted') = (generation is not null));
create index push_receiving on push (seen_at) where state = 'receiving';

-- Where a build is to run and how it is made: its push says so.
alter table build
    add column pusher      text,
    add column environment text,
    add column no_cache    boolean not null default false,
    add column ttl_seconds bigint;
update build set environment = e.name from release r join environment e on e.id = r.environment_id where r.build_id = build.id;
update build set environment = 'main' from app a where a.id = build.app_id and build.branch = a.default_branch and environment is null;
update build set environment = 'unknown' where environment is null;
alter table build alter column environment set not null;
create unique index build_of_push on build (push_id);
