-- What callers say of a media beyond its labels: a rating, and JSON of their own, within the limits of media/metadata.py.
alter table media
    add column rating smallint not null default 0 check (rating between 0 and 5),
    add column metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object');
