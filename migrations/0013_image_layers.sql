-- What an image consists of, its config too, as the registry keeps it: [{"digest": "sha256:..", "size": 1234}, ..]. None
-- of those that were recorded before.
alter table image add column layers jsonb;
