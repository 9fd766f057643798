-- What an image was made from: a hash of all that could make another build of it come out differently. Only of images
-- whose bases are known.
alter table image add column input bytea;
create index image_input on image (app_id, input) where input is not null;

-- How its Dockerfile is built: the folder whose files it may copy, relative to the repository's top, and the stage that is
-- wanted, when it is not the last. Without a port, the one that the image exposes is taken.
alter table app
    add column context text not null default '',
    add column target  text,
    alter column port drop not null,
    alter column port drop default;

-- The build whose image this one uses again, without having built.
alter table build add column reuses uuid references build (id);
