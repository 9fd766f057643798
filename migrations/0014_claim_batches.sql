-- Builders ask for builds for all their free slots at once.
drop function claim_build;
drop function next_build;

-- Takes up to `count` builds, as if they were asked for one after the other: by priority, then the team that had least,
-- then its application that had least, then age; teams and applications at their limit are passed over. Claims are made
-- one at a time: each sees what the one before it took, so limits and turns hold exactly. They do not wait for each
-- other's disk: a claim that PostgreSQL forgets in a crash was never made, its lease is unknown, and whoever has it can
-- write nothing. Whatever else is written later flushes it too.
--
-- Which teams have the next turns is known beforehand, as long as none runs out of builds; and which of its applications,
-- as long as none has a second turn before another has one. So turns are played ahead, builds for them are looked up in
-- one statement, and those that came as they were played are taken in another. Then it goes on from there.
--
-- Its plans are for many rows, however few there are: a connection keeps them for long.
create function claim_builds(owner text, ttl interval, count int) returns setof job language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_bitmapscan = off set enable_seqscan = off
set enable_sort = off set enable_hashjoin = off as $$
declare
    -- Teams of which something waits, as in their rows. `team_free`: how many more builds of it may run; null: any number.
    names text[]; weights int[]; team_served float8[]; team_served_at timestamptz[]; team_began float8[]; team_clock float8[];
    team_free int[];
    round float8;
    is_spent boolean[];
    urgency smallint := 0;
    -- Played: whose each turn is, when it began and what the team has had with it; of each team, how many it has.
    turn_of int[]; turn_began float8[]; turn_served float8[]; turns_of int[];
    ahead_served float8[]; ahead_at timestamptz[]; ahead_round float8;
    -- Looked up, team by team; where the next one of each team is; and what its applications will have had, at least.
    found_of int[]; ids bigint[]; apps uuid[]; seats int[]; app_weights int[]; app_served float8[];
    is_last boolean[];
    heads int[]; had_least float8[];
    -- Of those, what is taken, in the order of turns.
    taken int[]; taken_served float8[]; is_settled boolean[];
    n int;
    c int;
    tries int := 0;
begin
    perform set_config('synchronous_commit', 'off', true);
    -- Being woken costs more than the claim that is waited for. Who finds no gap gets in line, where nobody is overtaken.
    while not pg_try_advisory_xact_lock(hashtextextended('claim/build', 0)) loop
        tries := tries + 1;
        if tries = 50 then
            perform pg_advisory_xact_lock(hashtextextended('claim/build', 0));
            exit;
        end if;
        perform pg_sleep(0.001);
    end loop;

    select (select max(g.began) from team g), array_agg(g.name), array_agg(g.weight), array_agg(g.served),
           array_agg(g.served_at), array_agg(g.began), array_agg(g.clock),
           array_agg(case when g.build_limit is not null then g.build_limit - (
               select count(*) from job r join turn t on t.app_id = r.app_id where r.seat is not null and t.team = g.name) end)
        into round, names, weights, team_served, team_served_at, team_began, team_clock, team_free
        from team g where exists (select from turn t where t.team = g.name and t.waits is not null);
    is_spent := array_fill(false, array[coalesce(cardinality(names), 0)]);

    while count > 0 loop
        turn_of := '{}';
        turns_of := array_fill(0, array[cardinality(is_spent)]);
        ahead_served := team_served;
        ahead_at := team_served_at;
        ahead_round := round;
        for i in 1 .. count loop
            n := null;
            for g in 1 .. cardinality(is_spent) loop
                if not is_spent[g] and coalesce(team_free[g] > turns_of[g], true) and (n is null or ahead_served[g] < ahead_served[n]
                        or ahead_served[g] = ahead_served[n] and ahead_at[g] < ahead_at[n]) then
                    n := g;
                end if;
            end loop;
            exit when n is null;
            turn_of[i] := n;
            turns_of[n] := turns_of[n] + 1;
            -- Who was away for long is not owed what it did not ask for: a turn begins where the round is, at the earliest.
            ahead_round := greatest(ahead_round, ahead_served[n]);
            turn_began[i] := ahead_round;
            turn_served[i] := ahead_round + 1.0 / weights[n];
            ahead_served[n] := turn_served[i];
            ahead_at[n] := clock_timestamp();
        end loop;
        if turn_of = '{}' then
            exit when urgency = 1;
            urgency := 1;
            is_spent := array_fill(false, array[cardinality(is_spent)]);
            continue;
        end if;

        -- What somebody else holds is not waited for: a push that replaces the build, its cancellation, a change of its
        -- application's share. Whoever holds it rings afterwards.
        select array_agg(f.n), array_agg(f.id), array_agg(f.app_id), array_agg(f.seat), array_agg(f.weight),
               array_agg(f.served), array_agg(f.is_last)
            into found_of, ids, apps, seats, app_weights, app_served, is_last
            from (
                select g.n, b.* from unnest(names, turns_of) with ordinality g(name, turns, n)
                cross join lateral (
                    select q.id, t.app_id, t.weight, t.served, q.is_last, case when r.seats is null then 1 else (
                            select min(free) from generate_series(1, cardinality(r.seats) + 1) free
                            where free <> all (r.seats)) end as seat
                    from turn t
                    cross join lateral (
                        select array_agg(r.seat) as seats from job r where r.app_id = t.app_id and r.seat is not null
                    ) r
                    cross join lateral (
                        select w.id, not exists (select from job o where o.app_id = w.app_id and o.priority = w.priority
                                                  and o.state = 'queued' and o.id <> w.id) as is_last
                        from job w
                        where w.app_id = t.app_id and w.state = 'queued' and w.run_at <= now()
                          and (select r.id from job r
                               where r.kind = w.kind and r.lock_key = w.lock_key and r.state = 'running') is null
                          and (select o.id from job o
                               where o.kind = w.kind and o.lock_key = w.lock_key and o.state = 'queued' order by o.id limit 1) = w.id
                        order by w.priority, w.run_at, w.id limit 1
                        for update skip locked
                    ) q
                    where t.team = g.name and t.waits = urgency and coalesce(cardinality(r.seats), 0) < t.build_limit
                    order by t.served, t.served_at
                    limit g.turns
                    for no key update of t skip locked
                ) b
                where g.turns > 0
            ) f;

        heads := array_fill(null::int, array[cardinality(is_spent)]);
        for i in reverse coalesce(cardinality(found_of), 0) .. 1 loop
            heads[found_of[i]] := i;
        end loop;
        for g in 1 .. cardinality(is_spent) loop
            is_spent[g] := is_spent[g] or turns_of[g] > 0 and heads[g] is null;
        end loop;
        had_least := array_fill(null::float8, array[cardinality(is_spent)]);
        taken := '{}';
        taken_served := '{}';
        is_settled := '{}';
        for i in 1 .. cardinality(turn_of) loop
            n := turn_of[i];
            c := heads[n];
            exit when c is null or found_of[c] is distinct from n or had_least[n] < app_served[c];
            heads[n] := c + 1;
            taken[i] := c;
            taken_served[i] := greatest(app_served[c], team_clock[n]) + 1.0 / app_weights[c];
            had_least[n] := least(had_least[n], taken_served[i]);
            team_clock[n] := greatest(team_clock[n], app_served[c]);
            team_began[n] := turn_began[i];
            team_served[n] := turn_served[i];
            team_served_at[n] := clock_timestamp();
            team_free[n] := team_free[n] - 1;
            round := greatest(round, turn_began[i]);
        end loop;
        continue when taken = '{}';
        count := count - cardinality(taken);

        return query update job set state = 'running', attempt = attempt + 1, cancel = false,
                lease = gen_random_uuid(), lease_owner = owner, lease_until = now() + ttl, seat = seats[k]
            from unnest(taken) k where job.id = ids[k] returning job.*;
        -- Of whom nothing so urgent waits any more, it is said anew what does, as by settle_turn: the locks come first.
        for i in 1 .. cardinality(taken) loop
            is_settled[i] := is_last[taken[i]] and pg_try_advisory_xact_lock(hashtextextended('turn/' || apps[taken[i]], 0));
        end loop;
        update turn t set served = k.served, served_at = clock_timestamp(), waits = case when k.is_settled then (
                select w.priority from job w where w.app_id = t.app_id and w.state = 'queued' order by w.priority limit 1
            ) else t.waits end
            from unnest(taken, taken_served, is_settled) k(k, served, is_settled) where t.app_id = apps[k.k];
    end loop;

    update team g set served = m.served, served_at = m.served_at, began = m.began, clock = m.clock
        from unnest(names, team_served, team_served_at, team_began, team_clock) m(name, served, served_at, began, clock)
        where g.name = m.name and g.served_at <> m.served_at;
end
$$;
