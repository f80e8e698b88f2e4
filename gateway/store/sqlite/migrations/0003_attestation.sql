-- What is known of the machine's TPM: see gateway.TPM. '' is "none told".
ALTER TABLE requests ADD COLUMN ek_fingerprint TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN ek_serial      TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN tpm_maker      TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN tpm_reason     TEXT NOT NULL DEFAULT '';
-- TPMT_PUBLIC of its keys, as announced; NULL is "no TPM to be challenged".
ALTER TABLE requests ADD COLUMN ek_public      BLOB;
ALTER TABLE requests ADD COLUMN ak_public      BLOB;
-- The challenge that went out with the token; the secret as SHA-256.
ALTER TABLE requests ADD COLUMN nonce          BLOB CHECK (length(nonce) = 32);
ALTER TABLE requests ADD COLUMN secret         BLOB CHECK (length(secret) = 32);

-- What a certificate says, and of which TPM. '' is "nobody asked".
ALTER TABLE certificates ADD COLUMN attestation    TEXT NOT NULL DEFAULT '';
ALTER TABLE certificates ADD COLUMN ek_fingerprint TEXT NOT NULL DEFAULT '';
ALTER TABLE certificates ADD COLUMN ek_serial      TEXT NOT NULL DEFAULT '';
ALTER TABLE certificates ADD COLUMN tpm_maker      TEXT NOT NULL DEFAULT '';
ALTER TABLE certificates ADD COLUMN tpm_reason     TEXT NOT NULL DEFAULT '';
