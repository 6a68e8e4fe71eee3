"""Write Grafana's dashboards from what each panel asks: `python infra/grafana/make.py`, and `--check` says which are not current."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "dashboards"
WIDTH, HEIGHT, COLUMNS = 8, 8, 24
SOURCE = {"type": "prometheus", "uid": "prometheus"}


@dataclass(frozen=True, slots=True)
class Panel:
    """A title that is a question, its query, what one line is called, and Grafana's name of the unit."""

    title: str
    query: str
    legend: str = ""
    unit: str = "short"
    kind: str = "timeseries"


def signals(service: str) -> list[Panel]:
    """The four golden ones of one service."""
    of = f'{{service="{service}"}}'
    return [
        Panel("Requests a second", f"parvis:http_requests:rate5m{of}", "requests", "reqps"),
        Panel("Share of requests that fail", f"parvis:http_errors:ratio_5m{of}", "fail", "percentunit"),
        Panel("Half of the requests are quicker than", f"parvis:http_request_seconds:p50_5m{of}", "p50", "s"),
        Panel("99 of 100 requests are quicker than", f"parvis:http_request_seconds:p99_5m{of}", "p99", "s"),
        Panel("Share of the places at work taken", f"parvis:http_at_work:ratio{of}", "taken", "percentunit"),
        Panel("Facts published a second", f'sum by (type) (rate(parvis_facts_published_total{{service="{service}"}}[5m]))', "{{type}}"),
    ]


DASHBOARDS: dict[str, tuple[str, list[Panel]]] = {
    "suite": (
        "The suite",
        [
            Panel("Processes that answer", "sum by (job) (up)", "{{job}}"),
            Panel("What is needed is there", "min by (check) (parvis_check_ok)", "{{check}}"),
            Panel("Requests a second", "parvis:http_requests:rate5m", "{{service}}", "reqps"),
            Panel("Share of requests that fail", "parvis:http_errors:ratio_5m", "{{service}}", "percentunit"),
            Panel("Share of requests slower than a second", "parvis:http_slow:ratio_5m", "{{service}}", "percentunit"),
            Panel("99 of 100 requests are quicker than", "parvis:http_request_seconds:p99_5m", "{{service}}", "s"),
            Panel("Share of the places at work taken", "parvis:http_at_work:ratio", "{{service}}", "percentunit"),
            Panel(
                "Requests refused a second", "sum by (service, why) (rate(parvis_http_refused_total[5m]))", "{{service}} {{why}}", "reqps"
            ),
            Panel("Error budget used up, the last hour", "parvis:http_errors:ratio_1h / 0.001", "{{service}}"),
            Panel("Share of facts later than five seconds", "parvis:facts_late:ratio_5m", "{{consumer}}", "percentunit"),
            Panel(
                "Requests at the proxy a second", 'sum(rate(haproxy_frontend_http_requests_total{proxy="public"}[5m]))', "proxy", "reqps"
            ),
            Panel(
                "Answers of the proxy a second",
                'sum by (code) (rate(haproxy_frontend_http_responses_total{proxy="public"}[5m]))',
                "{{code}}",
                "reqps",
            ),
        ],
    ),
    "log": (
        "The event log",
        [
            Panel("Facts that have not left", "max by (service) (parvis_outbox_pending)", "{{service}}"),
            Panel("Age of the oldest of them", "parvis:outbox_oldest:seconds", "{{service}}", "s"),
            Panel("Processes that carry a service's facts", "sum by (service) (parvis_relay_leader)", "{{service}}"),
            Panel("Facts not handled", "max by (consumer, publisher) (parvis_consumer_lag_facts)", "{{consumer}} of {{publisher}}"),
            Panel("Age of the oldest of them, by consumer", "parvis:consumer_lag:seconds", "{{consumer}} of {{publisher}}", "s"),
            Panel("Consumers that do not go on", "max by (consumer) (parvis_consumer_stalled)", "{{consumer}}"),
            Panel("Facts parked", "max by (consumer) (parvis_parked_facts)", "{{consumer}}"),
            Panel("Facts published a second", "sum by (service) (rate(parvis_facts_published_total[5m]))", "{{service}}"),
            Panel(
                "Facts handled a second",
                "sum by (consumer, outcome) (rate(parvis_facts_handled_total[5m]))",
                "{{consumer}} {{outcome}}",
            ),
            Panel(
                "99 of 100 facts have their effect within",
                "histogram_quantile(0.99, sum by (consumer, le) (increase(parvis_fact_delivery_seconds_bucket[1h])))",
                "{{consumer}}",
                "s",
            ),
            Panel("Facts that came again a second", "sum by (consumer) (rate(parvis_consumer_duplicates_total[5m]))", "{{consumer}}"),
            Panel("Versions of projections", "max by (projection, state) (parvis_projection_version)", "{{projection}} {{state}}"),
            Panel("Age of these figures", "time() - max by (service) (parvis_log_looked_at_timestamp_seconds)", "{{service}}", "s"),
        ],
    ),
    "directory": (
        "Directory",
        [
            *signals("directory"),
            Panel("People", "max by (kind, state) (parvis_directory_agents)", "{{kind}} {{state}}"),
            Panel("Departures that are not settled", "max(parvis_directory_departures_open)", "open"),
            Panel("For how long the oldest is not", "max(parvis_directory_departure_oldest_seconds)", "oldest", "s"),
            Panel("Until the newest signing key ends", "max(parvis_directory_signing_key_expires_timestamp_seconds) - time()", "key", "s"),
        ],
    ),
    "files": (
        "Files",
        [
            *signals("files"),
            Panel("Uploads that have not come to their end", "max by (state) (parvis_files_uploads)", "{{state}}"),
            Panel("Held by ministries", "max by (ministry) (parvis_files_ministry_held_bytes)", "{{ministry}}", "bytes"),
            Panel(
                "Share of their quota",
                "max by (ministry) (parvis_files_ministry_held_bytes / parvis_files_ministry_quota_bytes)",
                "{{ministry}}",
                "percentunit",
            ),
            Panel("Blobs that nothing refers to", "max(parvis_files_blobs_orphan)", "orphans"),
            Panel("Versions whose bytes are missing", "max(parvis_files_blobs_missing)", "missing"),
            Panel("The blob store is in order", 'min(parvis_check_ok{check="files.blobs"})', "store"),
            Panel("Requests at SeaweedFS a second", "sum by (type) (rate(SeaweedFS_s3_request_total[5m]))", "{{type}}", "reqps"),
            Panel(
                "95 of 100 requests at SeaweedFS are quicker than",
                "histogram_quantile(0.95, sum by (type, le) (increase(SeaweedFS_s3_request_seconds_bucket[1h])))",
                "{{type}}",
                "s",
            ),
            Panel("Room on the disks of SeaweedFS", 'min by (name) (SeaweedFS_volumeServer_resource{type="avail"})', "{{name}}", "bytes"),
        ],
    ),
    "calendar": (
        "Calendar",
        [
            *signals("calendar"),
            Panel("Age of the oldest deletion remembered", "max(parvis_calendar_sync_token_age_seconds)", "oldest", "s"),
            Panel("How far ahead all is written down", "min(parvis_calendar_horizon_seconds)", "ahead", "s"),
        ],
    ),
    "messaging": (
        "Messaging",
        [
            *signals("messaging"),
            Panel("Acts of the bridge not yet done", "max by (server) (parvis_matrix_outbox_depth)", "{{server}}"),
            Panel("Age of the oldest that is due", "max(parvis_matrix_outbox_oldest_seconds)", "oldest", "s"),
            Panel("Acts that were refused for good, 30 days", "max(parvis_matrix_outbox_parked)", "refused"),
            Panel("Age of the oldest message that is no fact yet", "max(parvis_matrix_inbox_lag_seconds)", "oldest", "s"),
            Panel("Acts a second, by how they ended", "sum by (result) (rate(parvis_matrix_send_total[5m]))", "{{result}}"),
            Panel(
                "95 of 100 acts take the homeserver less than",
                "histogram_quantile(0.95, sum by (action, le) (increase(parvis_matrix_send_seconds_bucket[1h])))",
                "{{action}}",
                "s",
            ),
            Panel("Long polls that wait", "sum(parvis_matrix_waiting)", "waiting"),
            Panel(
                "Requests at Synapse a second",
                "sum by (servlet) (rate(synapse_http_server_response_time_seconds_count[5m]))",
                "{{servlet}}",
                "reqps",
            ),
            Panel(
                "95 of 100 requests at Synapse are quicker than (polls wait)",
                "histogram_quantile(0.95, sum by (servlet, le) (increase(synapse_http_server_response_time_seconds_bucket[1h])))",
                "{{servlet}}",
                "s",
            ),
            Panel(
                "Events that it pushes a second", "sum by (service) (rate(synapse_appservice_api_sent_events_total[5m]))", "to {{service}}"
            ),
        ],
    ),
    "cost": (
        "Cost",
        [
            Panel(
                "A provisioned agent a year, in the suite",
                'max by (ministry) (parvis_cost_eur_per_agent_year{population="provisioned",perimeter="suite"})',
                "{{ministry}}",
                "currencyEUR",
            ),
            Panel("The target", "max(parvis_cost_target_eur_per_agent_year)", "target", "currencyEUR", "stat"),
            Panel(
                "An active agent a year, in the suite",
                'max by (ministry) (parvis_cost_eur_per_agent_year{population="active",perimeter="suite"})',
                "{{ministry}}",
                "currencyEUR",
            ),
            Panel(
                "All ministries, by perimeter (never added up)",
                'max by (perimeter) (parvis_cost_eur_per_agent_year{ministry="all",population="provisioned"})',
                "{{perimeter}}",
                "currencyEUR",
            ),
            Panel("Costs that are nobody's", "max by (perimeter) (parvis_cost_unallocated_eur)", "{{perimeter}}", "currencyEUR"),
            Panel("Since the last computation", "time() - max(parvis_cost_ran_timestamp_seconds)", "run", "s"),
            Panel("Since the last file", "time() - max by (kind) (parvis_cost_imported_timestamp_seconds)", "{{kind}}", "s"),
            *signals("billing")[:5],
        ],
    ),
    "runtime": (
        "Runtime",
        [
            Panel("Cores used", "rate(process_cpu_seconds_total[5m])", "{{process}}"),
            Panel("Memory", "process_resident_memory_bytes", "{{process}}", "bytes"),
            Panel("The loop wakes late by", "parvis_loop_lag_seconds", "{{process}}", "s"),
            Panel("Open descriptors", "process_open_fds", "{{process}}"),
            Panel("Passes of the garbage collector a second", "sum by (process) (rate(python_gc_collections_total[5m]))", "{{process}}"),
            Panel("Database connections in use", "sum by (service, use) (parvis_database_connections)", "{{service}} {{use}}"),
            Panel(
                "Share of its connections that a process uses",
                "max by (service, use) (parvis_database_connections / parvis_database_connections_max)",
                "{{service}} {{use}}",
                "percentunit",
            ),
            Panel("Room on the disk", "min by (process) (parvis_disk_free_bytes / parvis_disk_size_bytes)", "{{process}}", "percentunit"),
            Panel(
                "Failures of background work, the last hour",
                "sum by (work) (increase(parvis_background_failures_total[1h]))",
                "{{work}}",
            ),
            Panel("Running for", "time() - process_start_time_seconds", "{{process}}", "s"),
            Panel("What runs", "count by (version, python) (parvis_build_info)", "{{version}} on {{python}}"),
        ],
    ),
    "servers": (
        "PostgreSQL and Kafka",
        [
            Panel("PostgreSQL answers", "pg_up", "{{process}}"),
            Panel(
                "Share of PostgreSQL's connections in use",
                "sum by (process) (pg_stat_activity_count) / max by (process) (pg_settings_max_connections)",
                "{{process}}",
                "percentunit",
            ),
            Panel(
                "The longest transaction",
                'max by (datname, state) (pg_stat_activity_max_tx_duration{state=~"active|idle in transaction.*"})',
                "{{datname}} {{state}}",
                "s",
            ),
            Panel("Transactions a second", 'sum by (datname) (rate(pg_stat_database_xact_commit{datname!=""}[5m]))', "{{datname}}"),
            Panel(
                "Share of pages found in memory",
                "sum by (process) (rate(pg_stat_database_blks_hit[5m]))"
                " / sum by (process) (rate(pg_stat_database_blks_hit[5m]) + rate(pg_stat_database_blks_read[5m]))",
                "{{process}}",
                "percentunit",
            ),
            Panel("Deadlocks, the last hour", "sum by (process) (increase(pg_stat_database_deadlocks[1h]))", "{{process}}"),
            Panel("Size", 'max by (datname) (pg_database_size_bytes{datname!~"template.*"})', "{{datname}}", "bytes"),
            Panel("WAL files that could not be put aside", "max by (process) (pg_stat_archiver_failed_count)", "{{process}}"),
            Panel("Partitions without a leader", "max(kafka_offlinepartitionscount)", "partitions"),
            Panel("Partitions that lack a replica", "kafka_underreplicatedpartitions", "{{process}}"),
            Panel("Facts a second that Kafka takes", "rate(kafka_messagesin_total[5m])", "{{process}}"),
            Panel("Bytes a second that Kafka takes", "rate(kafka_bytesin_total[5m])", "{{process}}", "Bps"),
            Panel("Bytes a second that Kafka gives", "rate(kafka_bytesout_total[5m])", "{{process}}", "Bps"),
            Panel("99 of 100 requests to Kafka are quicker than", "kafka_request_p99_milliseconds", "{{process}} {{request}}", "ms"),
            Panel("Share of the time that Kafka's threads wait", "kafka_request_handlers_idle_ratio", "{{process}}", "percentunit"),
            Panel("Kafka's heap", 'jvm_memory_used_bytes{area="heap",job="kafka"}', "{{process}}", "bytes"),
        ],
    ),
}


def rendered(name: str) -> str:
    title, panels = DASHBOARDS[name]
    made: dict[str, Any] = {
        "uid": f"parvis-{name}",
        "title": f"Parvis: {title}",
        "tags": ["parvis"],
        "timezone": "browser",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "links": [{"type": "dashboards", "tags": ["parvis"], "title": "Parvis", "asDropdown": True}],
        "panels": [panel_at(number, one) for number, one in enumerate(panels)],
    }
    return json.dumps(made, indent=1) + "\n"


def panel_at(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, COLUMNS // WIDTH)
    return {
        "id": number + 1,
        "type": panel.kind,
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": {"h": HEIGHT, "w": WIDTH, "x": column * WIDTH, "y": row * HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [{"refId": "A", "datasource": SOURCE, "expr": panel.query, "legendFormat": panel.legend}],
    }


def main() -> int:
    stale = 0
    for name in DASHBOARDS:
        file, text = FOLDER / f"{name}.json", rendered(name)
        if file.exists() and file.read_text() == text:
            continue
        if "--check" in sys.argv[1:]:
            print(f"{file.name} is not current: python infra/grafana/make.py")
            stale = 1
        else:
            file.write_text(text)
    return stale


if __name__ == "__main__":
    sys.exit(main())
