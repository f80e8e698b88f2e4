-- What a claim asks: which machine has this key, and was one with it revoked?
CREATE INDEX machines_key ON machines (key_fingerprint) WHERE key_fingerprint <> '';
CREATE INDEX certificates_revoked_key ON certificates (key_fingerprint) WHERE revoked IS NOT NULL;

-- What a revocation and the revocation list ask.
CREATE INDEX certificates_machine ON certificates (machine_id);
CREATE INDEX certificates_revoked ON certificates (not_after) WHERE revoked IS NOT NULL;

-- What a sweep asks.
CREATE INDEX requests_unclaimed ON requests (expires) WHERE claimed IS NULL;
