-- Substrings and typos (pg_trgm), letters without accents (unaccent), and lists of a project with words in one index
-- (btree_gin). All three are trusted: a user with CREATE on the database may create them. `migrate` has checked that they
-- are there, and says how to get them.
create extension if not exists pg_trgm;
create extension if not exists unaccent;
create extension if not exists btree_gin;
