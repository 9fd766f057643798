-- The span of somebody else's trace that a push goes on from (W3C `traceparent`, version 00): the request that pushed or
-- asked for it said so, or the delivery that told of its commit.
alter table push add column trace_parent text;
alter table delivery add column trace_parent text;
create index delivery_traced on delivery (app_id, commit) where trace_parent is not null;
