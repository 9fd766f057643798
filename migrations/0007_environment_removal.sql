-- When an environment goes by itself, and since when it is wanted gone; a release that comes later takes that back.
alter table environment
    add column expires_at       timestamptz,
    add column removal_asked_at timestamptz;
