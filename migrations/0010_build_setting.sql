-- What the builds of an application are given: secrets, sealed with a key that is not in the database, and arguments. One
-- for an environment stands before the one for all (null); an environment may be named before it exists.
create table build_setting (
    app_id      uuid not null references app (id) on delete cascade,
    kind        text not null check (kind in ('secret', 'argument')),
    name        text not null,
    environment text,
    sealed      bytea,
    value       text,
    set_by      text not null,
    set_at      timestamptz not null default now(),
    constraint sealed_iff_secret check ((kind = 'secret') = (sealed is not null)),
    constraint value_iff_argument check ((kind = 'argument') = (value is not null)),
    unique nulls not distinct (app_id, kind, name, environment)
);
