"""Users, datasets, models, specs, jobs and what belongs to a job."""

from __future__ import annotations

# Filters and sort keys lie together in the lists' indices, so that a page is found without reading the wide rows.
# `name_key` is the case-folded name, `search_key` the words of a job. An owner is a model or a dataset: two foreign
# keys, of which one is set; jobs repeat it as `owner_id`: a generated column would keep SQLite from a covering index.
SCRIPT = """
CREATE TABLE users (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL UNIQUE,
    created_on TEXT NOT NULL
) STRICT;

CREATE TABLE tokens (
    id TEXT PRIMARY KEY NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    label TEXT NOT NULL,
    secret_sha256 TEXT NOT NULL UNIQUE,
    created_on TEXT NOT NULL
) STRICT;

CREATE INDEX tokens_of_user ON tokens (user_id, created_on);

CREATE TABLE datasets (
    id TEXT PRIMARY KEY NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    description TEXT NOT NULL,
    logo TEXT NOT NULL,
    version TEXT NOT NULL,
    type TEXT NOT NULL,
    format TEXT NOT NULL,
    created_on TEXT NOT NULL,
    last_modified TEXT NOT NULL,
    state TEXT NOT NULL,
    path TEXT,
    summary TEXT
) STRICT;

CREATE INDEX datasets_by_date ON datasets (user_id, created_on, id, name_key, type);

CREATE INDEX datasets_by_name ON datasets (user_id, name, id, name_key, type);

CREATE TABLE models (
    id TEXT PRIMARY KEY NOT NULL,
    user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
    network_arch TEXT NOT NULL,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    description TEXT NOT NULL,
    logo TEXT NOT NULL,
    version TEXT NOT NULL,
    created_on TEXT NOT NULL,
    last_modified TEXT NOT NULL,
    dataset_type TEXT NOT NULL,
    encryption_key TEXT NOT NULL,
    public INTEGER NOT NULL,
    read_only INTEGER NOT NULL,
    ngc_path TEXT NOT NULL,
    weights_path TEXT,
    additional_id_info TEXT,
    eval_dataset TEXT REFERENCES datasets (id),
    inference_dataset TEXT REFERENCES datasets (id),
    calibration_dataset TEXT REFERENCES datasets (id),
    metric TEXT NOT NULL,
    automl_enabled INTEGER NOT NULL,
    automl_algorithm TEXT,
    automl_max_recommendations INTEGER NOT NULL,
    automl_delete_intermediate_ckpt INTEGER NOT NULL,
    automl_R INTEGER NOT NULL,
    automl_nu INTEGER NOT NULL,
    epoch_multiplier INTEGER NOT NULL,
    automl_add_hyperparameters TEXT NOT NULL,
    automl_remove_hyperparameters TEXT NOT NULL
) STRICT;

CREATE INDEX models_by_date ON models
    (created_on, id, user_id, public, name_key, dataset_type, network_arch, read_only) WHERE user_id IS NOT NULL;

CREATE INDEX models_by_name ON models
    (name, id, user_id, public, name_key, dataset_type, network_arch, read_only) WHERE user_id IS NOT NULL;

CREATE INDEX models_of_user ON models (user_id);

CREATE INDEX ptms_by_arch ON models (network_arch, name, id) WHERE user_id IS NULL;

CREATE INDEX models_by_eval ON models (eval_dataset);

CREATE INDEX models_by_inference ON models (inference_dataset);

CREATE INDEX models_by_calibration ON models (calibration_dataset);

CREATE TABLE model_ptms (
    model_id TEXT NOT NULL REFERENCES models (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    ptm_id TEXT NOT NULL REFERENCES models (id),
    PRIMARY KEY (model_id, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX model_ptms_by_ptm ON model_ptms (ptm_id);

CREATE TABLE model_train_datasets (
    model_id TEXT NOT NULL REFERENCES models (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    dataset_id TEXT NOT NULL REFERENCES datasets (id),
    PRIMARY KEY (model_id, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX model_train_datasets_by_dataset ON model_train_datasets (dataset_id);

CREATE TABLE specs (
    model_id TEXT REFERENCES models (id) ON DELETE CASCADE,
    dataset_id TEXT REFERENCES datasets (id) ON DELETE CASCADE,
    action TEXT NOT NULL,
    document TEXT NOT NULL,
    CHECK ((model_id IS NULL) <> (dataset_id IS NULL))
) STRICT;

CREATE UNIQUE INDEX specs_of_model ON specs (model_id, action);

CREATE UNIQUE INDEX specs_of_dataset ON specs (dataset_id, action);

CREATE TABLE jobs (
    id TEXT PRIMARY KEY NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    model_id TEXT REFERENCES models (id) ON DELETE CASCADE,
    dataset_id TEXT REFERENCES datasets (id) ON DELETE CASCADE,
    owner_kind TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    network TEXT NOT NULL,
    action TEXT NOT NULL,
    parent_id TEXT REFERENCES jobs (id) ON DELETE SET NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_on TEXT NOT NULL,
    last_modified TEXT NOT NULL,
    priority INTEGER NOT NULL,
    devices_wanted INTEGER NOT NULL,
    devices TEXT NOT NULL,
    runner TEXT,
    queued_at TEXT,
    started_at TEXT,
    ended_at TEXT,
    attempt INTEGER NOT NULL,
    stop_intent TEXT,
    metric TEXT,
    metric_value REAL,
    progress TEXT NOT NULL,
    spec TEXT,
    warnings TEXT NOT NULL,
    search_key TEXT NOT NULL,
    CHECK (owner_kind = CASE WHEN model_id IS NULL THEN 'dataset' ELSE 'model' END),
    CHECK (owner_id = coalesce(model_id, dataset_id)),
    CHECK ((model_id IS NULL) <> (dataset_id IS NULL))
) STRICT;

CREATE INDEX jobs_by_date ON jobs (user_id, created_on, id, state, action, network, search_key);

CREATE INDEX jobs_by_owner ON jobs (owner_id, created_on, id);

CREATE INDEX jobs_by_state ON jobs (state, priority DESC, queued_at, created_on);

CREATE INDEX jobs_by_parent ON jobs (parent_id);

CREATE INDEX jobs_by_model ON jobs (model_id);

CREATE INDEX jobs_by_dataset ON jobs (dataset_id);

CREATE TABLE results (
    job_id TEXT PRIMARY KEY NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    document TEXT NOT NULL
) STRICT;

CREATE TABLE history (
    id INTEGER PRIMARY KEY,
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    at TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;

CREATE INDEX history_of_job ON history (job_id, id);

CREATE TABLE leases (
    device_id TEXT NOT NULL,
    slot INTEGER NOT NULL,
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    since TEXT NOT NULL,
    PRIMARY KEY (device_id, slot)
) STRICT, WITHOUT ROWID;

CREATE INDEX leases_of_job ON leases (job_id);

CREATE TABLE runs (
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    runner TEXT NOT NULL,
    command TEXT NOT NULL,
    environment TEXT NOT NULL,
    identity BLOB,
    started_at TEXT,
    ended_at TEXT,
    exit_code INTEGER,
    PRIMARY KEY (job_id, attempt)
) STRICT;

CREATE TABLE status_marks (
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    path TEXT NOT NULL,
    offset INTEGER NOT NULL,
    PRIMARY KEY (job_id, attempt)
) STRICT, WITHOUT ROWID;
"""
