BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE annotation (
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
	CONSTRAINT ck_annotation_ck_annotation_kind CHECK (kind IN ('label', 'box', 'text')), 
	CONSTRAINT fk_annotation_item_id_item FOREIGN KEY(item_id) REFERENCES item (id), 
	CONSTRAINT fk_annotation_label_id_label FOREIGN KEY(label_id) REFERENCES label (id), 
	CONSTRAINT fk_annotation_prediction_id_prediction FOREIGN KEY(prediction_id) REFERENCES prediction (id) ON DELETE SET NULL
);
INSERT INTO "annotation" VALUES(1,1,0,'label',1,NULL,NULL,NULL,NULL,NULL,'first',1,'2026-11-23 12:39:16.408958','2026-11-23 12:39:16.495534');
INSERT INTO "annotation" VALUES(2,2,0,'label',2,NULL,NULL,NULL,NULL,NULL,'first',NULL,'2026-11-23 12:39:16.408958','2026-11-23 12:39:16.408958');
INSERT INTO "annotation" VALUES(3,2,0,'box',1,1.5,2.0,3.0,4.25,NULL,'first',NULL,'2026-11-23 12:39:16.423366','2026-11-23 12:39:16.423366');
INSERT INTO "annotation" VALUES(4,3,0,'text',NULL,NULL,NULL,NULL,NULL,'a text, "quoted"','first',NULL,'2026-11-23 12:39:16.432932','2026-11-23 12:39:16.432932');
CREATE TABLE annotation_change (
	event_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	entity VARCHAR(16) NOT NULL, 
	entity_id INTEGER NOT NULL, 
	"before" JSON, 
	"after" JSON, 
	CONSTRAINT pk_annotation_change PRIMARY KEY (event_id, position), 
	CONSTRAINT fk_annotation_change_event_id_annotation_event FOREIGN KEY(event_id) REFERENCES annotation_event (id)
);
INSERT INTO "annotation_change" VALUES(1,0,'annotation',1,NULL,'{"item_id":1,"frame":0,"kind":"label","label_id":2,"x1":null,"y1":null,"x2":null,"y2":null,"text":null,"author":"first","prediction_id":null,"created_at":"2026-11-23T12:39:16.408958+00:00","updated_at":"2026-11-23T12:39:16.408958+00:00"}');
INSERT INTO "annotation_change" VALUES(1,1,'annotation',2,NULL,'{"item_id":2,"frame":0,"kind":"label","label_id":2,"x1":null,"y1":null,"x2":null,"y2":null,"text":null,"author":"first","prediction_id":null,"created_at":"2026-11-23T12:39:16.408958+00:00","updated_at":"2026-11-23T12:39:16.408958+00:00"}');
INSERT INTO "annotation_change" VALUES(2,0,'annotation',3,NULL,'{"item_id":2,"frame":0,"kind":"box","label_id":1,"x1":1.5,"y1":2,"x2":3,"y2":4.25,"text":null,"author":"first","prediction_id":null,"created_at":"2026-11-23T12:39:16.423366+00:00","updated_at":"2026-11-23T12:39:16.423366+00:00"}');
INSERT INTO "annotation_change" VALUES(3,0,'annotation',4,NULL,'{"item_id":3,"frame":0,"kind":"text","label_id":null,"x1":null,"y1":null,"x2":null,"y2":null,"text":"a text, \"quoted\"","author":"first","prediction_id":null,"created_at":"2026-11-23T12:39:16.432932+00:00","updated_at":"2026-11-23T12:39:16.432932+00:00"}');
INSERT INTO "annotation_change" VALUES(4,0,'review',1,NULL,'{"entity":"prediction","entity_id":1,"status":"accepted","label":null,"note":"","author":"first","decided_at":"2026-11-23T12:39:16.495534+00:00"}');
INSERT INTO "annotation_change" VALUES(4,1,'annotation',1,'{"item_id":1,"frame":0,"kind":"label","label_id":2,"x1":null,"y1":null,"x2":null,"y2":null,"text":null,"author":"first","prediction_id":null,"created_at":"2026-11-23T12:39:16.408958+00:00","updated_at":"2026-11-23T12:39:16.408958+00:00"}','{"item_id":1,"frame":0,"kind":"label","label_id":1,"x1":null,"y1":null,"x2":null,"y2":null,"text":null,"author":"first","prediction_id":1,"created_at":"2026-11-23T12:39:16.408958+00:00","updated_at":"2026-11-23T12:39:16.495534+00:00"}');
INSERT INTO "annotation_change" VALUES(5,0,'review',2,NULL,'{"entity":"finding","entity_id":1,"status":"rejected","label":null,"note":"a cat","author":"first","decided_at":"2026-11-23T12:39:16.521660+00:00"}');
CREATE TABLE annotation_event (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	action VARCHAR(8) NOT NULL, 
	target INTEGER, 
	previous INTEGER, 
	head INTEGER, 
	redo INTEGER, 
	description TEXT NOT NULL, 
	author TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT ck_annotation_event_ck_annotation_event_action CHECK (action IN ('do', 'undo', 'redo'))
);
INSERT INTO "annotation_event" VALUES(1,'do',NULL,NULL,1,NULL,'label 2 items: dog','first','2026-11-23 12:39:16.418589');
INSERT INTO "annotation_event" VALUES(2,'do',NULL,1,2,NULL,'add 1 box','first','2026-11-23 12:39:16.429151');
INSERT INTO "annotation_event" VALUES(3,'do',NULL,2,3,NULL,'add 1 text','first','2026-11-23 12:39:16.434016');
INSERT INTO "annotation_event" VALUES(4,'do',NULL,3,4,NULL,'accept 1 prediction','first','2026-11-23 12:39:16.504185');
INSERT INTO "annotation_event" VALUES(5,'do',NULL,4,5,NULL,'reject 1 finding','first','2026-11-23 12:39:16.522611');
CREATE TABLE audit_event (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	at VARCHAR(40) NOT NULL, 
	author TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	data TEXT NOT NULL, 
	previous_hash VARCHAR(64) NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	CONSTRAINT uq_audit_event_hash UNIQUE (hash)
);
INSERT INTO "audit_event" VALUES(1,'2026-11-23T12:39:16.372057+00:00','first','project.created','{"name": "stored"}','0000000000000000000000000000000000000000000000000000000000000000','2aea8c2fc5f6a10f6273bc675f3e4b6bf1969dcaac271ce1d90806d18c6857c8');
INSERT INTO "audit_event" VALUES(2,'2026-11-23T12:39:16.405443+00:00','first','labels.set','{"labels": ["cat", "dog"], "name": "pets"}','2aea8c2fc5f6a10f6273bc675f3e4b6bf1969dcaac271ce1d90806d18c6857c8','499a397748fb29cf41dcdb21edda14bfbdb84bdc2e3ce3aea765456745c91c52');
CREATE TABLE dataset_snapshot (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	sha256 VARCHAR(64) NOT NULL, 
	task VARCHAR(16) NOT NULL, 
	entries JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT uq_dataset_snapshot_sha256 UNIQUE (sha256)
);
INSERT INTO "dataset_snapshot" VALUES(1,'f53055b107284acc882840ef50f419b4909aad994ad1ce4d142234572f4db8c9','classify','[{"item":1,"label":"cat"}]','2026-11-23 12:39:16.547590');
CREATE TABLE finding (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	workflow TEXT NOT NULL, 
	workflow_version TEXT NOT NULL, 
	item_id INTEGER, 
	kind TEXT NOT NULL, 
	title TEXT NOT NULL, 
	path TEXT NOT NULL, 
	score DOUBLE, 
	label TEXT NOT NULL, 
	frame INTEGER NOT NULL, 
	start_s DOUBLE, 
	end_s DOUBLE, 
	box JSON, 
	model TEXT NOT NULL, 
	data JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT fk_finding_item_id_item FOREIGN KEY(item_id) REFERENCES item (id) ON DELETE SET NULL
);
INSERT INTO "finding" VALUES(1,'security.triage','0.1',NULL,'span','movement','/media/v.mp4',NULL,'',0,1.0,2.5,NULL,'','{"a":1}','2026-11-23 12:39:16.513818');
INSERT INTO "finding" VALUES(2,'security.triage','0.1',NULL,'span','movement','/media/v.mp4',NULL,'',0,NULL,NULL,NULL,'','{}','2026-11-23 12:39:16.513825');
CREATE TABLE frame_info (
	item_id INTEGER NOT NULL, 
	frame INTEGER NOT NULL, 
	time_s DOUBLE, 
	width INTEGER, 
	height INTEGER, 
	CONSTRAINT pk_frame_info PRIMARY KEY (item_id, frame), 
	CONSTRAINT fk_frame_info_item_id_item FOREIGN KEY(item_id) REFERENCES item (id) ON DELETE CASCADE
);
INSERT INTO "frame_info" VALUES(1,0,NULL,64,48);
CREATE TABLE "group" (
	id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	CONSTRAINT pk_group PRIMARY KEY (id), 
	CONSTRAINT uq_group_name UNIQUE (name)
);
INSERT INTO "group" VALUES(1,'g');
CREATE TABLE item (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name TEXT NOT NULL, 
	sort_key TEXT NOT NULL, 
	folded_name TEXT NOT NULL, 
	path TEXT NOT NULL, 
	files JSON NOT NULL, 
	kind VARCHAR(16), 
	sha256 VARCHAR(64) NOT NULL, 
	group_id INTEGER, 
	size_bytes BIGINT NOT NULL, 
	modified_ns BIGINT NOT NULL, 
	width INTEGER, 
	height INTEGER, 
	frame_count INTEGER, 
	duration_s DOUBLE, 
	error JSON, 
	top_label TEXT, 
	top_score DOUBLE, 
	top_run_id INTEGER, 
	added_at DATETIME NOT NULL, 
	CONSTRAINT fk_item_group_id_group FOREIGN KEY(group_id) REFERENCES "group" (id), 
	CONSTRAINT uq_item_name UNIQUE (name)
);
INSERT INTO "item" VALUES(1,'a/img2.png','a/img0012.png','a/img2.png','/media/a/img2.png','[]','image','000000000000000000000000000000000000000000000000000000000000000a',1,10,10,64,48,1,NULL,NULL,'cat',0.75,1,'2026-11-23 12:39:16.382733');
INSERT INTO "item" VALUES(2,'a/img10.png','a/img00210.png','a/img10.png','/media/a/img10.png','[]','image','000000000000000000000000000000000000000000000000000000000000000b',1,10,10,64,48,1,NULL,NULL,NULL,NULL,NULL,'2026-11-23 12:39:16.382733');
INSERT INTO "item" VALUES(3,'b/中文 😀.png','b/中文 😀.png','b/中文 😀.png','/media/b/中文 😀.png','[]','image','000000000000000000000000000000000000000000000000000000000000000a',1,10,10,64,48,1,NULL,NULL,NULL,NULL,NULL,'2026-11-23 12:39:16.382733');
INSERT INTO "item" VALUES(4,'b/broken.png','b/broken.png','b/broken.png','/media/b/broken.png','[]',NULL,'',NULL,0,0,NULL,NULL,NULL,NULL,'{"code":"media-damaged","message":"the file is empty","remedy":"Copy it again.","path":null,"field":null}',NULL,NULL,NULL,'2026-11-23 12:39:16.382733');
CREATE TABLE label (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name TEXT NOT NULL, 
	definition TEXT NOT NULL, 
	colour VARCHAR(32) NOT NULL, 
	shortcut VARCHAR(32) NOT NULL, 
	position INTEGER NOT NULL, 
	in_set BOOLEAN NOT NULL, 
	CONSTRAINT uq_label_name UNIQUE (name)
);
INSERT INTO "label" VALUES(1,'cat','A cat.','#ff0000','1',0,1);
INSERT INTO "label" VALUES(2,'dog','','','',1,1);
CREATE TABLE label_prompt (
	label_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	text TEXT NOT NULL, 
	CONSTRAINT pk_label_prompt PRIMARY KEY (label_id, position), 
	CONSTRAINT fk_label_prompt_label_id_label FOREIGN KEY(label_id) REFERENCES label (id) ON DELETE CASCADE
);
INSERT INTO "label_prompt" VALUES(1,0,'a cat');
CREATE TABLE metric (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	training_run_id INTEGER, 
	snapshot_id INTEGER, 
	model TEXT NOT NULL, 
	part VARCHAR(16) NOT NULL, 
	name TEXT NOT NULL, 
	label TEXT NOT NULL, 
	value DOUBLE NOT NULL, 
	low DOUBLE, 
	high DOUBLE, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT fk_metric_snapshot_id_dataset_snapshot FOREIGN KEY(snapshot_id) REFERENCES dataset_snapshot (id), 
	CONSTRAINT fk_metric_training_run_id_training_run FOREIGN KEY(training_run_id) REFERENCES training_run (id)
);
INSERT INTO "metric" VALUES(1,1,1,'v1','holdout','accuracy','',0.5,0.4,0.6,'2026-11-23 12:39:16.584765');
CREATE TABLE model_version (
	number INTEGER NOT NULL, 
	title TEXT NOT NULL, 
	task VARCHAR(16) NOT NULL, 
	base_pack TEXT NOT NULL, 
	base_fingerprint TEXT NOT NULL, 
	method TEXT NOT NULL, 
	path TEXT NOT NULL, 
	snapshot_id INTEGER, 
	training_run_id INTEGER, 
	data JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_model_version PRIMARY KEY (number), 
	CONSTRAINT fk_model_version_snapshot_id_dataset_snapshot FOREIGN KEY(snapshot_id) REFERENCES dataset_snapshot (id), 
	CONSTRAINT fk_model_version_training_run_id_training_run FOREIGN KEY(training_run_id) REFERENCES training_run (id)
);
INSERT INTO "model_version" VALUES(1,'first','classify','starter-vision','abc','probe','models/v1',1,1,'{"x":1}','2026-11-23 12:39:16.573772');
CREATE TABLE prediction (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	run_id INTEGER NOT NULL, 
	item_id INTEGER NOT NULL, 
	frame INTEGER NOT NULL, 
	time_s DOUBLE, 
	sha256 VARCHAR(64) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	text TEXT, 
	detail JSON NOT NULL, 
	embedding BLOB, 
	width INTEGER, 
	height INTEGER, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT ck_prediction_ck_prediction_status CHECK (status IN ('ok', 'empty', 'failed', 'cancelled')), 
	CONSTRAINT fk_prediction_item_id_item FOREIGN KEY(item_id) REFERENCES item (id) ON DELETE CASCADE, 
	CONSTRAINT fk_prediction_run_id_run FOREIGN KEY(run_id) REFERENCES run (id) ON DELETE CASCADE, 
	CONSTRAINT uq_prediction_run_id_item_id_frame UNIQUE (run_id, item_id, frame)
);
INSERT INTO "prediction" VALUES(1,1,1,0,NULL,'a','ok',NULL,'{"provenance":{"crop":0.9}}',NULL,64,48,'2026-11-23 12:39:16.442068');
INSERT INTO "prediction" VALUES(2,1,2,0,NULL,'','failed',NULL,'{"error":{"code":"internal","message":"ValueError: x","remedy":"Run the command again with --debug and read the log.","path":null,"field":null}}',NULL,NULL,NULL,'2026-11-23 12:39:16.442079');
INSERT INTO "prediction" VALUES(3,2,1,0,NULL,'','ok',NULL,'{"boxes":[{"bbox":[1,2,3,4],"label":"cat","score":0.5}]}',NULL,NULL,NULL,'2026-11-23 12:39:16.473703');
INSERT INTO "prediction" VALUES(4,2,2,0,NULL,'','empty',NULL,'{}',NULL,NULL,NULL,'2026-11-23 12:39:16.473710');
CREATE TABLE review (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	entity VARCHAR(16) NOT NULL, 
	entity_id INTEGER NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	label TEXT, 
	note TEXT NOT NULL, 
	author TEXT NOT NULL, 
	decided_at DATETIME NOT NULL, 
	CONSTRAINT ck_review_ck_review_entity CHECK (entity IN ('prediction', 'finding')), 
	CONSTRAINT ck_review_ck_review_status CHECK (status IN ('accepted', 'rejected', 'edited')), 
	CONSTRAINT uq_review_entity_entity_id UNIQUE (entity, entity_id)
);
INSERT INTO "review" VALUES(1,'prediction',1,'accepted',NULL,'','first','2026-11-23 12:39:16.495534');
INSERT INTO "review" VALUES(2,'finding',1,'rejected',NULL,'a cat','first','2026-11-23 12:39:16.521660');
CREATE TABLE run (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	task VARCHAR(16) NOT NULL, 
	model_id TEXT NOT NULL, 
	model_version TEXT NOT NULL, 
	model_fingerprint TEXT NOT NULL, 
	spec JSON NOT NULL, 
	spec_fingerprint TEXT NOT NULL, 
	started_at DATETIME NOT NULL, 
	ended_at DATETIME
);
INSERT INTO "run" VALUES(1,'classify','starter-vision','0.1.0','abc','{"task":"classify"}','fp1','2026-11-23 12:39:16.436819','2026-11-23 12:39:16.457000');
INSERT INTO "run" VALUES(2,'detect','starter-vision','0.1.0','abc','{"task":"detect"}','fp2','2026-11-23 12:39:16.464791',NULL);
CREATE TABLE score (
	prediction_id INTEGER NOT NULL, 
	rank INTEGER NOT NULL, 
	label TEXT NOT NULL, 
	score DOUBLE NOT NULL, 
	CONSTRAINT pk_score PRIMARY KEY (prediction_id, rank), 
	CONSTRAINT fk_score_prediction_id_prediction FOREIGN KEY(prediction_id) REFERENCES prediction (id) ON DELETE CASCADE
);
INSERT INTO "score" VALUES(1,0,'cat',0.75);
INSERT INTO "score" VALUES(1,1,'dog',0.25);
CREATE TABLE setting (
	"key" VARCHAR(200) NOT NULL, 
	value JSON NOT NULL, 
	CONSTRAINT pk_setting PRIMARY KEY ("key")
);
INSERT INTO "setting" VALUES('name','"stored"');
INSERT INTO "setting" VALUES('label_set','{"name":"pets","exclusive":true,"domain":"general"}');
INSERT INTO "setting" VALUES('active_version','{"classify":1}');
CREATE TABLE split (
	item_id INTEGER NOT NULL, 
	part VARCHAR(16) NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_split PRIMARY KEY (item_id), 
	CONSTRAINT ck_split_ck_split_part CHECK (part IN ('train', 'holdout')), 
	CONSTRAINT fk_split_item_id_item FOREIGN KEY(item_id) REFERENCES item (id)
);
INSERT INTO "split" VALUES(1,'train','2026-11-23 12:39:16.533632');
INSERT INTO "split" VALUES(2,'holdout','2026-11-23 12:39:16.533632');
CREATE TABLE training_run (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	task VARCHAR(16) NOT NULL, 
	method TEXT NOT NULL, 
	seed INTEGER NOT NULL, 
	settings JSON NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	error JSON, 
	data JSON NOT NULL, 
	started_at DATETIME NOT NULL, 
	ended_at DATETIME
);
INSERT INTO "training_run" VALUES(1,'classify','probe',0,'{"a":1}','finished',NULL,'{"curve":[1,2]}','2026-11-23 12:39:16.560874','2026-11-23 12:39:16.564825');
CREATE INDEX ix_item_group_id_sort_key_id ON item (group_id, sort_key, id);
CREATE INDEX ix_item_kind_sort_key_id ON item (kind, sort_key, id);
CREATE INDEX ix_item_path ON item (path);
CREATE INDEX ix_item_sha256 ON item (sha256);
CREATE INDEX ix_item_sort_key_id ON item (sort_key, id);
CREATE INDEX ix_item_top_score_id ON item (top_score, id);
CREATE INDEX ix_run_spec_fingerprint ON run (spec_fingerprint);
CREATE INDEX ix_prediction_item_id_frame_run_id ON prediction (item_id, frame, run_id);
CREATE INDEX ix_prediction_run_id_status ON prediction (run_id, status);
CREATE INDEX ix_finding_item_id ON finding (item_id);
CREATE INDEX ix_finding_workflow_id ON finding (workflow, id);
CREATE INDEX ix_annotation_item_id_frame ON annotation (item_id, frame);
CREATE INDEX ix_annotation_label_id_item_id ON annotation (label_id, item_id);
CREATE INDEX ix_annotation_event_previous ON annotation_event (previous);
CREATE INDEX ix_annotation_event_target ON annotation_event (target);
CREATE INDEX ix_metric_training_run_id ON metric (training_run_id);
CREATE TRIGGER annotation_event_no_update BEFORE UPDATE ON annotation_event BEGIN SELECT RAISE(ABORT, 'annotation_event is append-only'); END;
CREATE TRIGGER annotation_event_no_delete BEFORE DELETE ON annotation_event BEGIN SELECT RAISE(ABORT, 'annotation_event is append-only'); END;
CREATE TRIGGER annotation_change_no_update BEFORE UPDATE ON annotation_change BEGIN SELECT RAISE(ABORT, 'annotation_change is append-only'); END;
CREATE TRIGGER annotation_change_no_delete BEFORE DELETE ON annotation_change BEGIN SELECT RAISE(ABORT, 'annotation_change is append-only'); END;
CREATE TRIGGER audit_event_no_update BEFORE UPDATE ON audit_event BEGIN SELECT RAISE(ABORT, 'audit_event is append-only'); END;
CREATE TRIGGER audit_event_no_delete BEFORE DELETE ON audit_event BEGIN SELECT RAISE(ABORT, 'audit_event is append-only'); END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('audit_event',2);
INSERT INTO "sqlite_sequence" VALUES('item',4);
INSERT INTO "sqlite_sequence" VALUES('label',2);
INSERT INTO "sqlite_sequence" VALUES('annotation',4);
INSERT INTO "sqlite_sequence" VALUES('annotation_event',5);
INSERT INTO "sqlite_sequence" VALUES('run',2);
INSERT INTO "sqlite_sequence" VALUES('prediction',4);
INSERT INTO "sqlite_sequence" VALUES('review',2);
INSERT INTO "sqlite_sequence" VALUES('finding',2);
INSERT INTO "sqlite_sequence" VALUES('dataset_snapshot',1);
INSERT INTO "sqlite_sequence" VALUES('training_run',1);
INSERT INTO "sqlite_sequence" VALUES('metric',1);
COMMIT;
