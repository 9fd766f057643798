-- The newest image that wants a document is found without a look at all that want one: after an upgrade all images do.
create index sbom_wanted on sbom (created_at) where due_at is not null;
drop index sbom_due;
