-- What lists are filtered by, and few media have: from an index, a rare value is found without reading all media of the
-- caller. The expressions are those of media/filter.py. All are null when a media is stored, so uploads pay nothing.
create index media_by_location on media using gist (
    point((private_info #>> '{location,longitude}')::float8, (private_info #>> '{location,latitude}')::float8)
) where private_info -> 'location' is not null;
create index media_by_camera on media ((private_info #>> '{exif,Model}'), create_time desc)
    where private_info #>> '{exif,Model}' is not null;
create index blobs_by_sha256 on blobs (sha256) where sha256 is not null;
-- No list is in this order.
drop index media_by_capture;
