package sqlite

// The queries, all of them prepared by Open: one that does not fit the tables
// keeps the gateway from starting instead of failing at a claim.
const (
	qRequestByCode  = "SELECT " + requestColumns + " FROM requests WHERE code = ? AND holds = 1"
	qRequestByID    = "SELECT " + requestColumns + " FROM requests WHERE id = ?"
	qRequestByToken = "SELECT " + requestColumns + " FROM requests WHERE token = ?"

	qGiveUpCode = "UPDATE requests SET holds = 0 WHERE code = ?1 AND holds = 1 AND expires <= ?2" +
		" AND (key_fingerprint = ?3 OR expires <= ?4)"
	qAddRequest = "INSERT INTO requests (code, device_code, key_fingerprint, created, expires, ek_public, ak_public, " + boardColumns + ", " + tpmColumns + ")" +
		" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)" +
		" ON CONFLICT (code) WHERE holds = 1 DO NOTHING RETURNING id"

	// The conditions of the three exactly-once steps stand in the statement
	// that makes the step, whatever was read before it.
	qClaim = "UPDATE requests SET claimed = ?2, claimed_by = ?3, machine_id = ?4, expires = ?5" +
		" WHERE id = ?1 AND claimed IS NULL AND expires > ?2 RETURNING " + requestColumns
	qSetToken = "UPDATE requests SET token = ?3, token_expires = ?4, token_used = NULL, nonce = ?5, secret = ?6" +
		" WHERE id = ?1 AND claimed IS NOT NULL AND expires > ?2"
	qUseToken = "UPDATE requests SET token_used = ?2" +
		" WHERE token = ?1 AND token_used IS NULL AND token_expires > ?2 AND expires > ?2 RETURNING " + requestColumns
	qSweep = "DELETE FROM requests WHERE claimed IS NULL AND expires < ?"

	// A machine that was revoked comes before one that was not.
	qMachineByKey = "SELECT id, revoked FROM machines WHERE key_fingerprint = ?1 AND key_fingerprint <> ''" +
		" ORDER BY revoked IS NULL, created DESC, id DESC LIMIT 1"
	qKeyRevoked = "SELECT EXISTS (SELECT 1 FROM machines WHERE key_fingerprint = ?1 AND key_fingerprint <> '' AND revoked IS NOT NULL)" +
		" OR EXISTS (SELECT 1 FROM certificates WHERE key_fingerprint = ?1 AND revoked IS NOT NULL)"
	qMachineRevoked = "SELECT revoked FROM machines WHERE id = ?"
	qAddMachine     = "INSERT INTO machines (id, key_fingerprint, created, " + boardColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
	qSetBoard       = "UPDATE machines SET (" + boardColumns + ") = (?2, ?3, ?4, ?5, ?6, ?7) WHERE id = ?1"
	qSetCertificate = "UPDATE machines SET key_fingerprint = ?2, certificate_serial = ?3, certificate_expires = ?4 WHERE id = ?1"
	qRevokeMachine  = "UPDATE machines SET revoked = coalesce(revoked, ?2) WHERE id = ?1 RETURNING revoked"
	qMachines       = "SELECT " + machineColumns + " FROM machines" +
		" LEFT JOIN (SELECT serial AS newest, attestation, " + tpmColumns + " FROM certificates) ON newest = certificate_serial" +
		" WHERE id > ?1 ORDER BY id LIMIT ?2"

	qAddCertificate = "INSERT INTO certificates (serial, machine_id, key_fingerprint, not_before, not_after, pem, revoked, attestation, " + tpmColumns + ")" +
		" VALUES (?, ?, ?, ?, ?, ?, NULL, ?, ?, ?, ?, ?)"
	qRequestCertificate = "UPDATE requests SET certificate_serial = ?3 WHERE id = ?1 AND machine_id = ?2"
	qCertificate        = "SELECT " + certificateColumns + " FROM certificates WHERE serial = ?"
	qRevokeCertificates = "UPDATE certificates SET revoked = ?2 WHERE machine_id = ?1 AND revoked IS NULL"
	qRevoked            = "SELECT " + certificateColumns + " FROM certificates WHERE revoked IS NOT NULL AND not_after > ?1 ORDER BY not_after, serial"

	qAddAPIKey  = "INSERT INTO api_keys (id, name, secret, created) VALUES (?, ?, ?, ?)"
	qAPIKey     = "SELECT id, name, secret, created FROM api_keys WHERE id = ?"
	qHasAPIKeys = "SELECT EXISTS (SELECT 1 FROM api_keys)"
)

func readQueries() []string {
	return []string{qRequestByCode, qRequestByID, qMachines, qCertificate, qRevoked, qAPIKey, qHasAPIKeys}
}

func writeQueries() []string {
	return []string{
		qRequestByCode, qRequestByID, qRequestByToken, qGiveUpCode, qAddRequest, qClaim, qSetToken, qUseToken, qSweep,
		qMachineByKey, qKeyRevoked, qMachineRevoked, qAddMachine, qSetBoard, qSetCertificate, qRevokeMachine,
		qAddCertificate, qRequestCertificate, qRevokeCertificates, qAddAPIKey,
	}
}
