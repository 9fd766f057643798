-- $1: the applications; $2: branches of which every commit is built.
with b as (select * from build where app_id = any($1))
select what from violation
union all
select format('build %s never ended: it is %s', number, state) from b where finished_at is null
union all
select format('job %s (%s) never ended: it is %s', id, kind, state) from job where finished_at is null
union all
select format('release %s never ended: it is %s', r.version, r.state)
    from release r join b on b.id = r.build_id where r.finished_at is null
union all
select format('the push of %s was never decided', p.commit)
    from push p join branch on branch.id = p.branch_id where branch.app_id = any($1) and p.state = 'receiving'
union all
select format('the accepted push of %s has no build', p.commit)
    from push p join branch on branch.id = p.branch_id
    where branch.app_id = any($1) and p.state = 'accepted' and not exists (select from b where b.push_id = p.id)
union all
select format('build %s gave way to no newer one', number) from b
    where state = 'superseded'
      and not exists (select from b newer where newer.id = b.superseded_by and newer.branch_id = b.branch_id and newer.number > b.number)
union all
select format('build %s gave way, though its branch builds every commit', number) from b
    where state = 'superseded' and branch_id = any($2)
union all
select format('build %s was cancelled, though nobody asked', number) from b
    where state = 'cancelled' and cancelled_at is null
union all
select format('build %s is %s and has %s images and %s releases', number, state, images, releases)
    from b, lateral (select count(*) as images from image where build_id = b.id) i,
        lateral (select count(*) as releases from released where build_id = b.id) r
    where (images, releases) <> (case state when 'succeeded' then 1 else 0 end, case state when 'succeeded' then 1 else 0 end)
union all
select format('the newest release of the environment %s is %s', e.name, r.state)
    from environment e, lateral (select state from release where environment_id = e.id order by version desc limit 1) r
    where e.app_id = any($1) and r.state not in ('live', 'failed')
union all
select format('the environment %s has releases that were live and none that is', e.name) from environment e
    where e.app_id = any($1) and exists (select from release where environment_id = e.id and state = 'replaced')
      and not exists (select from release where environment_id = e.id and state = 'live')
union all
select format('branch %s shows a commit that build %s did not make live', branch.name, head_number)
    from branch where app_id = any($1) and head is not null
      and not exists (select from b where b.branch_id = branch.id and b.number = head_number and b.commit = head)
union all
select format('the log of build %s has a hole at line %s', number, first_line)
    from (select b.number, first_line,
              lag(c.first_line + c.line_count, 1, 0) over (partition by c.build_id order by first_line) as expected
          from log_chunk c join b on b.id = c.build_id) chunks
    where first_line <> expected
union all
select format('the log of build %s has other lines than it counts', b.number)
    from b join build_log l on l.build_id = b.id
    where l.line_count <> (select coalesce(sum(line_count), 0) from log_chunk c where c.build_id = b.id)
