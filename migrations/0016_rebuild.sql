-- The number of the build whose commit somebody asked to have built again; its pusher is who asked.
alter table build add column rebuild_of int;
