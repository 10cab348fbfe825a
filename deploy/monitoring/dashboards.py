#!/usr/bin/env python3
"""Writes the Grafana dashboards of Minerva, one JSON file each, from the table of panels below.

    deploy/monitoring/dashboards.py            writes deploy/monitoring/dashboards/*.json
    deploy/monitoring/dashboards.py --check    fails if a file differs from the table

Edit the table, not the JSON files.
"""
import json
import pathlib
import sys

FOLDER = pathlib.Path(__file__).resolve().parent / "dashboards"


def rate(metric, by=""):
    labels = f" by ({by})" if by else ""
    return f"sum{labels} (rate({metric}{{instance=~\"$instance\"}}[$__rate_interval]))"


def total(metric, by=""):
    labels = f" by ({by})" if by else ""
    return f"sum{labels} ({metric}{{instance=~\"$instance\"}})"


def top(metric):
    return f"max({metric}{{instance=~\"$instance\"}})"


def append_quantile(q):
    series = 'sum by (le) (rate(minerva_core_store_append_seconds_bucket{instance=~"$instance"}[$__rate_interval]))'
    return f"histogram_quantile({q}, {series})"


# Dashboard: (title, metric of the variable `instance`, rows). Row: (title, panels).
# Panel: (title, unit, description, [(query, legend), ...]).
DASHBOARDS = {
    "edge": ("Minerva edges", "minerva_edge_connections", [
        ("Clients", [
            ("Connections", "short", "Open connections of clients by edge.",
             [(total("minerva_edge_connections", "instance"), "{{instance}}")]),
            ("Transports by kind", "short", "Open transports.", [(total("minerva_edge_open_transports", "kind"), "{{kind}}")]),
            ("Messages", "cps", "Messages by direction.",
             [(rate("minerva_edge_c2s_messages_total"), "from clients"), (rate("minerva_edge_s2c_messages_total"), "to clients")]),
            ("New transports", "cps", "A rate far above that of new users means networks or proxies that cut connections.",
             [(rate("minerva_edge_transports_total", "kind"), "{{kind}}")]),
        ]),
        ("Links", [
            ("Links to cores", "short", "0 means that the clients of this edge wait.",
             [(total("minerva_edge_links_up", "instance"), "{{instance}}")]),
            ("Partitions without owner", "short", "Above 0, some streams wait.",
             [(top("minerva_edge_partitions_without_owner"), "partitions")]),
            ("Lost links and re-attached transports", "cps", "Deaths and hand-overs of cores, seen by the edges.",
             [(rate("minerva_edge_link_losses_total"), "lost links"), (rate("minerva_edge_reattached_total", "cause"), "{{cause}}")]),
            ("Waiting bytes", "bytes", "Messages that cores have not taken or clients have not read.",
             [(total("minerva_edge_waiting_bytes", "instance"), "{{instance}}")]),
        ]),
        ("Endings and refusals", [
            ("Ended transports", "cps", "By the values of `how` in the operations page.",
             [(rate("minerva_edge_ended_total", "how"), "{{how}}")]),
            ("Refused by limits", "cps", "Connections and transports refused by a limit of their address.",
             [(rate("minerva_edge_refused_total", "limit"), "{{limit}}")]),
            ("Refusals of version 3", "cps", "By the code that the client received.",
             [(rate("minerva_edge_refusals_total", "code"), "{{code}}")]),
            ("Foreign and invalid requests", "cps", "Foreign origins and host names, unknown protocols.",
             [(rate("minerva_edge_foreign_origins_total"), "origins"), (rate("minerva_edge_foreign_hosts_total"), "host names"),
              (rate("minerva_edge_garbage_total"), "unknown protocols")]),
            ("Takeovers", "cps", "Transports that replaced an open one of their stream.",
             [(rate("minerva_edge_takeovers_total"), "takeovers")]),
            ("Unfinished frames", "bytes", "Memory of frames that are not complete.",
             [(total("minerva_edge_unfinished_bytes", "instance"), "{{instance}}")]),
        ]),
    ]),
    "core": ("Minerva cores", "minerva_core_partitions", [
        ("Streams", [
            ("Streams", "short", "All streams, and those with a transport.",
             [(total("minerva_core_streams"), "streams"), (total("minerva_core_transports"), "transports")]),
            ("Opened and ended", "cps", "Endings by cause.",
             [(rate("minerva_core_streams_opened_total"), "opened"), (rate("minerva_core_streams_ended_total", "by"), "ended by {{by}}")]),
            ("Messages", "cps", "Accepted messages by direction.",
             [(rate("minerva_core_messages_c2s_total"), "from clients"), (rate("minerva_core_messages_s2c_total"), "to clients")]),
            ("Held bytes", "bytes", "Messages that wait for applications and for clients.",
             [(total("minerva_core_inbox_bytes"), "for applications"), (total("minerva_core_outbox_bytes"), "for clients"),
              (total("minerva_held_bytes"), "all")]),
        ]),
        ("Cores and partitions", [
            ("Cores", "short", "Living cores on the store.", [(top("minerva_core_cores"), "cores")]),
            ("Partitions by core", "short", "Owned partitions.", [(total("minerva_core_partitions", "instance"), "{{instance}}")]),
            ("Unserved partitions", "short", "Assigned, but not served; unreadable ones need an operator.",
             [(total("minerva_unserved_partitions"), "unserved"), (total("minerva_unreadable_partitions"), "unreadable")]),
            ("Frames from edges", "cps", "Frames on all links by core.",
             [(rate("minerva_core_link_frames_in_total", "instance"), "{{instance}}")]),
            ("Linked edges", "short", "Links by core.", [(total("minerva_core_links", "instance"), "{{instance}}")]),
        ]),
        ("Refusals and losses", [
            ("Refused transports", "cps", "By reason.", [(rate("minerva_core_refusals_total", "reason"), "{{reason}}")]),
            ("Memory level", "short", "0 free, 3 nothing of clients is taken.", [(top("minerva_memory_level"), "level")]),
            ("Lost and quarantined streams", "short", "Streams that ended with `state lost` in 5 minutes.",
             [('sum(increase(minerva_core_streams_ended_total{by="lost",instance=~"$instance"}[5m]))', "lost"),
              ('sum(increase(minerva_core_streams_unrecorded_total{instance=~"$instance"}[5m]))', "without a trace"),
              ('sum(increase(minerva_quarantined_streams_total{instance=~"$instance"}[5m]))', "quarantined")]),
            ("Contract", "cps", "Refused frames and calls, unknown input of later releases.",
             [(rate("minerva_core_link_frames_refused_total", "reason"), "frame: {{reason}}"),
              (rate("minerva_core_calls_refused_total", "reason"), "call: {{reason}}"),
              (rate("minerva_core_unknown_received_total", "direction"), "unknown: {{direction}}")]),
            ("Closed transports", "cps", "Closed with the request to reconnect, and killed.",
             [(rate("minerva_core_transports_unavailable_total"), "unavailable"), (rate("minerva_core_transports_killed_total"), "killed"),
              (rate("minerva_core_takeovers_total"), "takeovers")]),
            ("Tokens of clients", "cps", "Verified tokens by result.", [(rate("minerva_core_tokens_total", "result"), "{{result}}")]),
        ]),
    ]),
    "store": ("Minerva store", "minerva_core_partitions", [
        ("Appends", [
            ("Duration of appends", "s", "A message is acknowledged after its append.",
             [(append_quantile(0.5), "median"), (append_quantile(0.99), "99 %")]),
            ("Oldest pending append", "s", "Above 5 s nothing becomes durable.",
             [(top("minerva_oldest_pending_append_seconds"), "age")]),
            ("Appends and checkpoints", "cps", "Calls of the store.",
             [(rate("minerva_core_store_appends_total"), "appends"), (rate("minerva_core_store_checkpoints_total"), "checkpoints")]),
            ("Bytes of appends", "Bps", "Bytes written.", [(rate("minerva_core_store_append_bytes_total"), "bytes")]),
        ]),
        ("Health", [
            ("Failed calls", "cps", "By kind; `fenced` and `held` are usual at hand-overs.",
             [(rate("minerva_core_store_errors_total", "kind"), "{{kind}}")]),
            ("Fill of Redis", "percentunit", "From 80 % new streams are refused.", [(top("minerva_store_fill_ratio"), "used share")]),
            ("Last durable append", "s", "Grows on an idle core, too.",
             [(f'min(minerva_last_durable_append_age_seconds{{instance=~"$instance"}})', "age")]),
        ]),
    ]),
    "service": ("Minerva application services", "minerva_core_partitions", [
        ("Instances", [
            ("Instances", "short", "Registered application instances.", [(total("minerva_core_app_instances", "instance"), "{{instance}}")]),
            ("Commands", "cps", "Commands of instances, and refused ones.",
             [(rate("minerva_core_app_commands_total"), "commands"), (rate("minerva_core_commands_refused_total"), "refused")]),
            ("Messages", "cps", "From clients to applications and back.",
             [(rate("minerva_core_messages_c2s_total"), "to applications"), (rate("minerva_core_messages_s2c_total"), "from applications")]),
        ]),
        ("Streams that make no progress", [
            ("Without an instance", "short", "Their messages wait in inboxes.", [(total("minerva_core_streams_unserved"), "streams")]),
            ("Unacknowledged for 20 s", "short", "The application hangs or is slow.",
             [(total("minerva_core_streams_unacknowledged"), "streams")]),
            ("Suspect", "short", "Instances died in their delivery.", [(total("minerva_suspect_streams"), "streams")]),
            ("Waiting for a budget", "short", "The address or service is beyond its budget.",
             [(total("minerva_core_streams_blocked"), "streams")]),
            ("Refused sends", "cps", "The outbox of the stream was full: its client reads slowly.",
             [(rate("minerva_core_sends_refused_total"), "sends")]),
            ("Inboxes", "bytes", "Messages that wait for applications.", [(total("minerva_core_inbox_bytes", "instance"), "{{instance}}")]),
            ("Ends without an application", "cps", "Ended streams whose end no application acknowledged, or that no application ever had.",
             [(rate("minerva_core_streams_forgotten_total"), "forgotten"), (rate("minerva_core_streams_freed_unserved_total"), "freed")]),
        ]),
    ]),
}

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT = 6, 8


def panel(number, place, title, unit, description, queries):
    targets = [{"refId": chr(ord("A") + i), "datasource": SOURCE, "expr": expr, "legendFormat": legend}
               for i, (expr, legend) in enumerate(queries)]
    return {"id": number, "type": "timeseries", "title": title, "description": description, "datasource": SOURCE, "gridPos": place,
            "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
            "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}},
            "targets": targets}


def panels(rows):
    number, y = 0, 0
    for title, content in rows:
        number += 1
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "panels": [],
               "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}}
        y += 1
        for i, fields in enumerate(content):
            number += 1
            place = {"x": i % 4 * WIDTH, "y": y + i // 4 * HEIGHT, "w": WIDTH, "h": HEIGHT}
            yield panel(number, place, *fields)
        y += (len(content) + 3) // 4 * HEIGHT


def dashboard(name, title, metric, rows):
    variables = [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
        {"name": "instance", "label": "Instance", "type": "query", "datasource": SOURCE, "includeAll": True, "multi": True, "allValue": ".*",
         "query": {"query": f"label_values({metric}, instance)", "refId": "instances"}, "refresh": 2, "current": {"text": "All", "value": "$__all"}},
    ]
    return {"uid": f"minerva-{name}", "title": title, "tags": ["minerva"], "schemaVersion": 39, "editable": True, "refresh": "10s",
            "time": {"from": "now-1h", "to": "now"}, "templating": {"list": variables}, "annotations": {"list": []},
            "links": [{"type": "dashboards", "title": "Minerva", "tags": ["minerva"], "asDropdown": True}],
            "panels": list(panels(rows))}


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    stale = []
    for name, (title, metric, rows) in DASHBOARDS.items():
        file, text = FOLDER / f"{name}.json", json.dumps(dashboard(name, title, metric, rows), indent=1) + "\n"
        if not check:
            file.write_text(text, encoding="utf-8")
        elif not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(file.name)
    if stale:
        sys.exit(f"run deploy/monitoring/dashboards.py: {', '.join(stale)} differ from its table")


if __name__ == "__main__":
    main()
