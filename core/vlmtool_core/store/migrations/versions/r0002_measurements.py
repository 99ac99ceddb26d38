"""Measurements: another kind of annotation, whose shape and result are kept as JSON."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_KINDS = "kind IN ('label', 'box', 'text', 'measurement')"
_COLUMNS = (
    "id, item_id, frame, kind, label_id, x1, y1, x2, y2, text, author, prediction_id, "
    "created_at, updated_at"
)


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        _on_server()
    else:
        _in_file()
    op.create_index("ix_annotation_kind_item_id", "annotation", ["kind", "item_id"])


def _on_server() -> None:
    op.add_column("annotation", sa.Column("data", sa.JSON(none_as_null=True), nullable=True))
    bind = op.get_bind()
    for check in sa.inspect(bind).get_check_constraints("annotation"):
        op.execute(f'ALTER TABLE annotation DROP CONSTRAINT "{check["name"]}"')
    op.execute(f"ALTER TABLE annotation ADD CONSTRAINT ck_annotation_kind CHECK ({_KINDS})")


def _in_file() -> None:
    """SQLite cannot change a CHECK: a new table takes the place of the old one.

    The counter of the ids moves along: the number of an annotation that was deleted must not be
    given again, as the log of changes still speaks of it.
    """
    bind = op.get_bind()
    counter = "SELECT seq FROM sqlite_sequence WHERE name = 'annotation'"
    highest = bind.exec_driver_sql(counter).scalar()
    op.execute(
        f"""CREATE TABLE annotation_new (
            id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
            item_id INTEGER NOT NULL,
            frame INTEGER NOT NULL,
            kind VARCHAR(16) NOT NULL,
            label_id INTEGER,
            x1 DOUBLE,
            y1 DOUBLE,
            x2 DOUBLE,
            y2 DOUBLE,
            text TEXT,
            author TEXT NOT NULL,
            prediction_id INTEGER,
            created_at DATETIME NOT NULL,
            updated_at DATETIME NOT NULL,
            data JSON,
            CONSTRAINT ck_annotation_kind CHECK ({_KINDS}),
            CONSTRAINT fk_annotation_item_id_item FOREIGN KEY(item_id) REFERENCES item (id),
            CONSTRAINT fk_annotation_label_id_label FOREIGN KEY(label_id) REFERENCES label (id),
            CONSTRAINT fk_annotation_prediction_id_prediction FOREIGN KEY(prediction_id)
                REFERENCES prediction (id) ON DELETE SET NULL
        )"""
    )
    op.execute(f"INSERT INTO annotation_new ({_COLUMNS}) SELECT {_COLUMNS} FROM annotation")
    op.drop_table("annotation")
    op.rename_table("annotation_new", "annotation")
    op.create_index("ix_annotation_item_id_frame", "annotation", ["item_id", "frame"])
    op.create_index("ix_annotation_label_id_item_id", "annotation", ["label_id", "item_id"])
    if highest is not None:
        bind.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = 'annotation'")
        keep = "INSERT INTO sqlite_sequence (name, seq) VALUES ('annotation', ?)"
        bind.exec_driver_sql(keep, (highest,))
