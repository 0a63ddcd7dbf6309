"""Which files of tests a run begins with.

Of several processes none should begin with what takes minutes when the others end.
"""

from __future__ import annotations

from pathlib import PurePath

#: Files that take more than half a minute on a quiet machine, and their seconds, about. What is not
#: here comes after them.
LONG = {
    "host/test_other_release.py": 400,
    "host/test_supervisord_acts.py": 360,
    "process/test_task_matrix.py": 240,
    "broker/test_name_conflict.py": 200,
    "host/test_root_commands.py": 170,
    "host/test_rabbitmq_page.py": 140,
    "process/test_supervise_slow.py": 140,
    "process/test_import_matrix.py": 100,
    "process/test_foul_messages.py": 90,
    "process/test_supervise_ends.py": 90,
    "broker/test_addresses.py": 90,
    "broker/test_rejected_flood.py": 90,
    "broker/test_unknown_tasks.py": 80,
    "broker/test_fuzz.py": 60,
    "process/test_task_processes.py": 50,
    "host/test_monit_page.py": 300,
    "host/test_quota_and_ticks.py": 300,
    "broker/test_outage.py": 200,
    "process/test_supervise_hung.py": 190,
    "host/test_upgrade.py": 180,
    "process/test_quickstart.py": 170,
    "host/test_reloads.py": 160,
    "process/test_kill.py": 160,
    "host/test_daemon_faults.py": 160,
    "host/test_broker_faults.py": 140,
    "host/test_network_cut.py": 130,
    "broker/test_alarm.py": 120,
    "broker/test_broker_monitor.py": 120,
    "host/test_supervisord_faults.py": 120,
    "process/test_clock_steps.py": 110,
    "broker/test_gate.py": 100,
    "process/test_supervise_systemd.py": 100,
    "host/test_disk_full.py": 80,
    "host/test_shell.py": 80,
    "host/test_systemd.py": 80,
    "process/test_detach.py": 80,
    "process/test_reload.py": 80,
    "broker/test_beat_leader.py": 70,
    "host/test_bad_ini.py": 70,
    "host/test_hosts.py": 60,
    "process/test_bad_input.py": 60,
    "process/test_poison.py": 60,
    "process/test_supervise.py": 60,
    "process/test_supervise_acts.py": 60,
    "process/test_supervise_reload.py": 60,
    "process/test_worker.py": 60,
    "broker/test_alarm_due.py": 60,
    "unit/test_config_commands.py": 40,
    "unit/test_slots_model.py": 40,
}


def seconds(file: PurePath) -> int:
    """How long a file takes, about; 0 for one that does not take long."""
    return LONG.get("/".join(file.parts[-2:]), 0)
