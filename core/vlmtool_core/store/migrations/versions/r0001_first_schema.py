"""The first schema: items, labels, predictions, findings, annotations, learning and the logs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Names sort by their bytes, as in SQLite, whatever language the server speaks.
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

APPEND_ONLY = ("annotation_event", "annotation_change", "audit_event")


def upgrade() -> None:
    _items()
    _labels()
    _predictions()
    _findings()
    _annotations()
    _learning()
    _evaluation()
    _audit()
    _forbid_rewriting()


def _points_to(
    table: str, column: str, target: str, ondelete: str | None = None
) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_{column}_{target}"
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=name, ondelete=ondelete)


def _forbid_rewriting() -> None:
    """Logs only grow: the database itself refuses to change or delete their rows."""
    if op.get_bind().dialect.name == "postgresql":
        _forbid_rewriting_on_server()
        return
    for table in APPEND_ONLY:
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )


def _forbid_rewriting_on_server() -> None:
    op.execute(
        "CREATE FUNCTION refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION '% is append-only', TG_TABLE_NAME "
        "USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting()"
        )


def _items() -> None:
    op.create_table(
        "setting",
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_setting"),
    )
    op.create_table(
        "group",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_group"),
        sa.UniqueConstraint("name", name="uq_group_name"),
    )
    op.create_table(
        "item",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("sort_key", _TEXT, nullable=False),
        sa.Column("folded_name", _TEXT, nullable=False),
        sa.Column("path", _TEXT, nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("group_id", sa.Integer(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("modified_ns", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("frame_count", sa.Integer(), nullable=True),
        sa.Column("duration_s", sa.Double(), nullable=True),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("top_label", _TEXT, nullable=True),
        sa.Column("top_score", sa.Double(), nullable=True),
        sa.Column("top_run_id", sa.Integer(), nullable=True),
        sa.Column("added_at", sa.DateTime(), nullable=False),
        _points_to("item", "group_id", "group"),
        sa.PrimaryKeyConstraint("id", name="pk_item"),
        sa.UniqueConstraint("name", name="uq_item_name"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_item_group_id_sort_key_id", "item", ["group_id", "sort_key", "id"], unique=False
    )
    op.create_index("ix_item_kind_sort_key_id", "item", ["kind", "sort_key", "id"], unique=False)
    op.create_index("ix_item_path", "item", ["path"], unique=False)
    op.create_index("ix_item_sha256", "item", ["sha256"], unique=False)
    op.create_index("ix_item_sort_key_id", "item", ["sort_key", "id"], unique=False)
    op.create_index("ix_item_top_score_id", "item", ["top_score", "id"], unique=False)
    op.create_table(
        "frame_info",
        sa.Column("item_id", sa.Integer(), nullable=False),
        sa.Column("frame", sa.Integer(), nullable=False),
        sa.Column("time_s", sa.Double(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        _points_to("frame_info", "item_id", "item", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("item_id", "frame", name="pk_frame_info"),
    )


def _labels() -> None:
    op.create_table(
        "label",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("definition", _TEXT, nullable=False),
        sa.Column("colour", sa.String(length=32), nullable=False),
        sa.Column("shortcut", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("in_set", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_label"),
        sa.UniqueConstraint("name", name="uq_label_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "label_prompt",
        sa.Column("label_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("text", _TEXT, nullable=False),
        _points_to("label_prompt", "label_id", "label", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("label_id", "position", name="pk_label_prompt"),
    )


def _predictions() -> None:
    op.create_table(
        "run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("task", sa.String(length=16), nullable=False),
        sa.Column("model_id", _TEXT, nullable=False),
        sa.Column("model_version", _TEXT, nullable=False),
        sa.Column("model_fingerprint", _TEXT, nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("spec_fingerprint", _TEXT, nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_run"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_run_spec_fingerprint", "run", ["spec_fingerprint"], unique=False)
    op.create_table(
        "prediction",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("item_id", sa.Integer(), nullable=False),
        sa.Column("frame", sa.Integer(), nullable=False),
        sa.Column("time_s", sa.Double(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("text", _TEXT, nullable=True),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("embedding", sa.LargeBinary(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint(
            "status IN ('ok', 'empty', 'failed', 'cancelled')", name="ck_prediction_status"
        ),
        _points_to("prediction", "item_id", "item", ondelete="CASCADE"),
        _points_to("prediction", "run_id", "run", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_prediction"),
        sa.UniqueConstraint(
            "run_id", "item_id", "frame", name="uq_prediction_run_id_item_id_frame"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_prediction_item_id_frame_run_id",
        "prediction",
        ["item_id", "frame", "run_id"],
        unique=False,
    )
    op.create_index("ix_prediction_run_id_status", "prediction", ["run_id", "status"], unique=False)
    op.create_table(
        "score",
        sa.Column("prediction_id", sa.Integer(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("label", _TEXT, nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        _points_to("score", "prediction_id", "prediction", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("prediction_id", "rank", name="pk_score"),
    )


def _findings() -> None:
    op.create_table(
        "finding",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("workflow", _TEXT, nullable=False),
        sa.Column("workflow_version", _TEXT, nullable=False),
        sa.Column("item_id", sa.Integer(), nullable=True),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("title", _TEXT, nullable=False),
        sa.Column("path", _TEXT, nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("label", _TEXT, nullable=False),
        sa.Column("frame", sa.Integer(), nullable=False),
        sa.Column("start_s", sa.Double(), nullable=True),
        sa.Column("end_s", sa.Double(), nullable=True),
        sa.Column("box", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("model", _TEXT, nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        _points_to("finding", "item_id", "item", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_finding"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_finding_item_id", "finding", ["item_id"], unique=False)
    op.create_index("ix_finding_workflow_id", "finding", ["workflow", "id"], unique=False)
    op.create_table(
        "review",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("entity", sa.String(length=16), nullable=False),
        sa.Column("entity_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("label", _TEXT, nullable=True),
        sa.Column("note", _TEXT, nullable=False),
        sa.Column("author", _TEXT, nullable=False),
        sa.Column("decided_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("entity IN ('prediction', 'finding')", name="ck_review_entity"),
        sa.CheckConstraint("status IN ('accepted', 'rejected', 'edited')", name="ck_review_status"),
        sa.PrimaryKeyConstraint("id", name="pk_review"),
        sa.UniqueConstraint("entity", "entity_id", name="uq_review_entity_entity_id"),
        sqlite_autoincrement=True,
    )


def _annotations() -> None:
    op.create_table(
        "annotation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("item_id", sa.Integer(), nullable=False),
        sa.Column("frame", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("label_id", sa.Integer(), nullable=True),
        sa.Column("x1", sa.Double(), nullable=True),
        sa.Column("y1", sa.Double(), nullable=True),
        sa.Column("x2", sa.Double(), nullable=True),
        sa.Column("y2", sa.Double(), nullable=True),
        sa.Column("text", _TEXT, nullable=True),
        sa.Column("author", _TEXT, nullable=False),
        sa.Column("prediction_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("kind IN ('label', 'box', 'text')", name="ck_annotation_kind"),
        _points_to("annotation", "item_id", "item"),
        _points_to("annotation", "label_id", "label"),
        _points_to("annotation", "prediction_id", "prediction", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_annotation"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_annotation_item_id_frame", "annotation", ["item_id", "frame"], unique=False)
    op.create_index(
        "ix_annotation_label_id_item_id", "annotation", ["label_id", "item_id"], unique=False
    )
    op.create_table(
        "annotation_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(length=8), nullable=False),
        sa.Column("target", sa.Integer(), nullable=True),
        sa.Column("previous", sa.Integer(), nullable=True),
        sa.Column("head", sa.Integer(), nullable=True),
        sa.Column("redo", sa.Integer(), nullable=True),
        sa.Column("description", _TEXT, nullable=False),
        sa.Column("author", _TEXT, nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("action IN ('do', 'undo', 'redo')", name="ck_annotation_event_action"),
        sa.PrimaryKeyConstraint("id", name="pk_annotation_event"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_annotation_event_previous", "annotation_event", ["previous"], unique=False)
    op.create_index("ix_annotation_event_target", "annotation_event", ["target"], unique=False)
    op.create_table(
        "annotation_change",
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("entity", sa.String(length=16), nullable=False),
        sa.Column("entity_id", sa.Integer(), nullable=False),
        sa.Column("before", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("after", sa.JSON(none_as_null=True), nullable=True),
        _points_to("annotation_change", "event_id", "annotation_event"),
        sa.PrimaryKeyConstraint("event_id", "position", name="pk_annotation_change"),
    )


def _learning() -> None:
    op.create_table(
        "dataset_snapshot",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("task", sa.String(length=16), nullable=False),
        sa.Column("entries", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dataset_snapshot"),
        sa.UniqueConstraint("sha256", name="uq_dataset_snapshot_sha256"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "training_run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("task", sa.String(length=16), nullable=False),
        sa.Column("method", _TEXT, nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_training_run"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "model_version",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("title", _TEXT, nullable=False),
        sa.Column("task", sa.String(length=16), nullable=False),
        sa.Column("base_pack", _TEXT, nullable=False),
        sa.Column("base_fingerprint", _TEXT, nullable=False),
        sa.Column("method", _TEXT, nullable=False),
        sa.Column("path", _TEXT, nullable=False),
        sa.Column("snapshot_id", sa.Integer(), nullable=True),
        sa.Column("training_run_id", sa.Integer(), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        _points_to("model_version", "snapshot_id", "dataset_snapshot"),
        _points_to("model_version", "training_run_id", "training_run"),
        sa.PrimaryKeyConstraint("number", name="pk_model_version"),
    )


def _evaluation() -> None:
    op.create_table(
        "metric",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("training_run_id", sa.Integer(), nullable=True),
        sa.Column("snapshot_id", sa.Integer(), nullable=True),
        sa.Column("model", _TEXT, nullable=False),
        sa.Column("part", sa.String(length=16), nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("label", _TEXT, nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=True),
        sa.Column("high", sa.Double(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        _points_to("metric", "snapshot_id", "dataset_snapshot"),
        _points_to("metric", "training_run_id", "training_run"),
        sa.PrimaryKeyConstraint("id", name="pk_metric"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_metric_training_run_id", "metric", ["training_run_id"], unique=False)
    op.create_table(
        "split",
        sa.Column("item_id", sa.Integer(), nullable=False),
        sa.Column("part", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("part IN ('train', 'holdout')", name="ck_split_part"),
        _points_to("split", "item_id", "item"),
        sa.PrimaryKeyConstraint("item_id", name="pk_split"),
    )


def _audit() -> None:
    op.create_table(
        "audit_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(length=40), nullable=False),
        sa.Column("author", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("data", _TEXT, nullable=False),
        sa.Column("previous_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_event"),
        sa.UniqueConstraint("hash", name="uq_audit_event_hash"),
        sqlite_autoincrement=True,
    )
