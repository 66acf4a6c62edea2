-- All collections of a media, for merges, and for the foreign key when the media is removed.
create index collection_members_by_any_media on collection_members (media_id) include (shared);
drop index collection_members_by_media;
