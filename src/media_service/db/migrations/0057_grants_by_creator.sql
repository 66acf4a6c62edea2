-- An export and an erasure look for the grants that a person gave.
create index access_grants_by_creator on access_grants (created_by, resource, grantee);
