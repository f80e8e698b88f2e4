-- Times are microseconds since 1970 in UTC; NULL is "not yet".
-- Hashes are SHA-256, 32 bytes; NULL is "none".

CREATE TABLE machines (
    id                  TEXT    NOT NULL PRIMARY KEY,
    vendor              TEXT    NOT NULL,
    model               TEXT    NOT NULL,
    serial              TEXT    NOT NULL,
    soc                 TEXT    NOT NULL,
    revision            TEXT    NOT NULL,
    architecture        TEXT    NOT NULL,
    key_fingerprint     TEXT    NOT NULL, -- '' until the first certificate of a device that announced nothing
    created             INTEGER NOT NULL,
    certificate_serial  TEXT    NOT NULL DEFAULT '',
    certificate_expires INTEGER,
    revoked             INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE requests (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT, -- an id handed to an operator never comes back
    code               TEXT    NOT NULL,
    holds              INTEGER NOT NULL DEFAULT 1 CHECK (holds IN (0, 1)), -- 0: a later request took the code
    device_code        BLOB    CHECK (length(device_code) = 32),
    key_fingerprint    TEXT    NOT NULL,
    vendor             TEXT    NOT NULL,
    model              TEXT    NOT NULL,
    serial             TEXT    NOT NULL,
    soc                TEXT    NOT NULL,
    revision           TEXT    NOT NULL,
    architecture       TEXT    NOT NULL,
    created            INTEGER NOT NULL,
    expires            INTEGER NOT NULL,
    claimed            INTEGER,
    claimed_by         TEXT    NOT NULL DEFAULT '',
    machine_id         TEXT    REFERENCES machines (id),
    token              BLOB    CHECK (length(token) = 32),
    token_expires      INTEGER,
    token_used         INTEGER,
    certificate_serial TEXT    NOT NULL DEFAULT '',
    CHECK ((claimed IS NULL) = (machine_id IS NULL))
) STRICT;

-- At most one request holds a code, and a token is one request's.
CREATE UNIQUE INDEX requests_code ON requests (code) WHERE holds = 1;
CREATE UNIQUE INDEX requests_token ON requests (token) WHERE token IS NOT NULL;

CREATE TABLE certificates (
    serial          TEXT    NOT NULL PRIMARY KEY,
    machine_id      TEXT    NOT NULL REFERENCES machines (id),
    key_fingerprint TEXT    NOT NULL,
    not_before      INTEGER NOT NULL,
    not_after       INTEGER NOT NULL,
    pem             TEXT    NOT NULL,
    revoked         INTEGER
) STRICT;

CREATE TABLE api_keys (
    id      TEXT    NOT NULL PRIMARY KEY,
    name    TEXT    NOT NULL,
    secret  BLOB    NOT NULL CHECK (length(secret) = 32),
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
