-- What a token may do: what its scope says, on one application or (null) on all. Those made until now may do everything.
alter table token
    add column scope      text not null default 'admin' check (scope in ('read', 'push', 'admin')),
    add column app_id     uuid references app (id) on delete cascade,
    add column expires_at timestamptz,
    add column created_by text;
alter table token alter column scope drop default;
-- A pusher is known by the token's name, and so is a token that is to be revoked.
create unique index token_name on token (name);
create index token_app on token (app_id) where app_id is not null;
create index session_token on session (token_id);
