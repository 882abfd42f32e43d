"""Weights of pretrained models are registered by each user alone, and entries of a user's own are theirs."""

from __future__ import annotations

# Who registered a path was not kept: it goes to the users whose models start from the entry, else to the first user.
# Every entry with weights becomes private; those of the catalogue are made public again when the daemon opens the root.
# An entry without a user that is not public is seen by those who registered weights for it, and goes with the last.
SCRIPT = """
CREATE TABLE ptm_weights (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    model_id TEXT NOT NULL REFERENCES models (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    PRIMARY KEY (user_id, model_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX ptm_weights_of_model ON ptm_weights (model_id);

INSERT INTO ptm_weights SELECT DISTINCT own.user_id, ptm.id, ptm.weights_path
    FROM models AS ptm JOIN model_ptms ON model_ptms.ptm_id = ptm.id JOIN models AS own ON own.id = model_ptms.model_id
    WHERE ptm.user_id IS NULL AND ptm.weights_path IS NOT NULL AND own.user_id IS NOT NULL;

INSERT INTO ptm_weights SELECT first.id, ptm.id, ptm.weights_path
    FROM models AS ptm, (SELECT id FROM users ORDER BY created_on, id LIMIT 1) AS first
    WHERE ptm.user_id IS NULL AND ptm.weights_path IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM ptm_weights WHERE model_id = ptm.id);

UPDATE models SET public = 0 WHERE user_id IS NULL AND weights_path IS NOT NULL;

ALTER TABLE models DROP COLUMN weights_path;

DROP INDEX ptms_by_arch;

CREATE INDEX ptms_by_arch ON models (network_arch, name, id, public) WHERE user_id IS NULL;

CREATE TRIGGER ptm_left AFTER DELETE ON ptm_weights BEGIN
    DELETE FROM models WHERE id = old.model_id AND user_id IS NULL AND NOT public
        AND NOT EXISTS (SELECT 1 FROM ptm_weights WHERE model_id = old.model_id);
END;
"""
