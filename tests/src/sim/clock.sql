-- The simulated clock. This schema comes before pg_catalog in the search path of every connection, and the migrations run
-- in it: so whatever says now(), in a query, a function or a column's default, asks here.
create schema sim;
create table clock (at timestamptz not null);
insert into clock values ('2026-01-01 12:00:00Z');
create function now() returns timestamptz language sql stable as 'select at from clock';

-- Moves within a moment, so that what happens at the same time has an order all the same.
create sequence tick;
create function clock_timestamp() returns timestamptz language sql volatile as
    $$ select now() + nextval('tick') * interval '1 microsecond' $$;
