BEGIN TRANSACTION;
CREATE TABLE events (
	number INTEGER NOT NULL, 
	classifier VARCHAR(32) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	moment DATETIME NOT NULL, 
	version VARCHAR(32) NOT NULL, 
	previous VARCHAR(32) NOT NULL, 
	learned INTEGER NOT NULL, 
	seconds FLOAT NOT NULL, 
	PRIMARY KEY (number)
);
INSERT INTO "events" VALUES(1,'lodbrok','training','2026-01-01 12:01:00.000000','000001-11111111','000000-aaaaaaaa',2,1.5);
INSERT INTO "events" VALUES(2,'lodbrok','training','2026-01-01 12:03:00.000000','000002-22222222','000001-11111111',2,1.5);
INSERT INTO "events" VALUES(3,'lodbrok','training','2026-01-01 12:05:00.000000','000003-33333333','000002-22222222',1,1.5);
INSERT INTO "events" VALUES(4,'lodbrok','rollback','2026-01-01 12:06:00.000000','000002-22222222','000003-33333333',0,1.5);
CREATE TABLE verdicts (
	number INTEGER NOT NULL, 
	classifier VARCHAR(32) NOT NULL, 
	task VARCHAR(32) NOT NULL, 
	record VARCHAR(255) NOT NULL, 
	reporter VARCHAR(255) NOT NULL, 
	label INTEGER NOT NULL, 
	predicted INTEGER NOT NULL, 
	score FLOAT NOT NULL, 
	weights VARCHAR(32) NOT NULL, 
	received DATETIME NOT NULL, 
	tokenizers VARCHAR(32) NOT NULL, 
	vector BLOB NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	version VARCHAR(32), 
	PRIMARY KEY (number)
);
INSERT INTO "verdicts" VALUES(1,'lodbrok','a','1','ann',1,0,0.25,'000000-aaaaaaaa','2026-01-01 12:00:00.000000','t',X'73616D65','learned','000001-11111111');
INSERT INTO "verdicts" VALUES(2,'lodbrok','a','2','ann',0,0,0.25,'000000-aaaaaaaa','2026-01-01 12:00:00.000000','t',X'73616D65','learned','000001-11111111');
INSERT INTO "verdicts" VALUES(3,'lodbrok','b','1','ann',0,0,0.25,'000000-aaaaaaaa','2026-01-01 12:02:00.000000','t',X'73616D65','learned','000002-22222222');
INSERT INTO "verdicts" VALUES(4,'lodbrok','b','3','ann',1,0,0.25,'000000-aaaaaaaa','2026-01-01 12:02:00.000000','t',X'6F6E652074657874','learned','000002-22222222');
INSERT INTO "verdicts" VALUES(5,'lodbrok','c','4','bob',1,0,0.25,'000000-aaaaaaaa','2026-01-01 12:04:00.000000','t',X'73616D65','learned','000003-33333333');
INSERT INTO "verdicts" VALUES(6,'lodbrok','d','5','ann',1,0,0.25,'000000-aaaaaaaa','2026-01-01 12:07:00.000000','t',X'73616D65','refused',NULL);
INSERT INTO "verdicts" VALUES(7,'lodbrok','e','6','ann',1,0,0.25,'000000-aaaaaaaa','2026-01-01 12:08:00.000000','t',X'73616D65','waiting',NULL);
INSERT INTO "verdicts" VALUES(8,'lodbrok','f','7','ann',1,0,0.25,'000000-aaaaaaaa','2026-01-01 12:09:00.000000','t',X'73616D65','held',NULL);
INSERT INTO "verdicts" VALUES(9,'lodbrok','g','3','ann',0,0,0.25,'000000-aaaaaaaa','2026-01-01 12:10:00.000000','t',X'6F746865722074657874','refused',NULL);
CREATE INDEX verdicts_quality ON verdicts (classifier, weights, reporter, label, predicted);
CREATE INDEX verdicts_same ON verdicts (classifier, record, label, reporter);
CREATE INDEX verdicts_reporter ON verdicts (classifier, reporter, received);
CREATE INDEX verdicts_status ON verdicts (classifier, status);
CREATE INDEX verdicts_task ON verdicts (classifier, task);
CREATE INDEX events_latest ON events (classifier, number);
COMMIT;
