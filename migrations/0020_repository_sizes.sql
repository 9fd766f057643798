-- The receiver says how much the repositories hold that are pushed to it.
alter table sweep drop constraint sweep_kind_check;
alter table sweep
    add constraint sweep_kind_check check (kind in ('images', 'mirrors', 'repositories', 'caches', 'logs'));
