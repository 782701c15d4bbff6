-- How long agents worked, all of them together, by quarter hours since 1970.

CREATE TABLE work_by_quarter (
    quarter INTEGER PRIMARY KEY,
    ms      INTEGER NOT NULL
) STRICT;
