"""What the whole-`rl` tests do not ask of another runtime: RL_RUNTIME=crun contrib/test tests/system

A table of parts of test names, each with the reason. Everything else passes with crun.
"""

from typing import Final

_OWN_INIT: Final = "--init without --init-path is the init of rl's own runtime; with another it is refused"
_SHARED_PID: Final = "another runtime cannot share a PID namespace inside our stage; it is refused"
_KEPT_GROUPS: Final = "--group-add keep-groups needs rl's own runtime; it is refused"
_NET_SYSCTLS: Final = "--sysctl net.* needs rl's own runtime; it is refused"
_OWN_PROCESS: Final = "about the process of ours that executes the command; with another runtime that is the runtime's"
_ENDED_SOONER: Final = "beside another runtime the stage lives on, and ends init as soon as the monitor is gone"
_OWN_WORDS: Final = "refused by the other runtime, too, in its own words and with 125 for 126"
_ODD_ROOTS: Final = "the other runtime refuses roots where mount points are links to nothing, or that lack /dev"

DIFFERENCES: Final = {
    "test_descriptors.py::test_only_the_standard_streams_are_open[options3]": _OWN_INIT,
    "test_descriptors.py::test_only_the_standard_streams_are_open[options4]": _OWN_INIT,
    "test_descriptors.py::test_no_working_directory": _OWN_WORDS,
    "test_hostile_root.py::test_a_start_in_a_root_that_became_hostile": _OWN_WORDS,
    "test_image_config.py::test_environment_reaches_the_command_and_no_process_of_ours": _OWN_INIT,
    "security/test_interpreter.py::": _OWN_PROCESS,
    "test_links.py::test_targets_that_are_links_out_of_the_root": _OWN_WORDS,
    "test_links.py::test_targets_that_change_while_a_container_starts": _OWN_WORDS,
    "test_links.py::test_kernel_file_systems_upon_links": _OWN_WORDS,
    "test_links.py::test_masks_through_a_null_device_of_the_image": _ODD_ROOTS,
    "test_processes.py::test_processes_of_ours_inside_leave_no_core": _OWN_INIT,
    "test_processes.py::test_a_stage_that_joins_a_user_namespace_is_closed_to_it": _SHARED_PID,
    "test_device_options.py::test_a_limit_above_the_user_s_own_is_refused": _OWN_WORDS,
    "test_device_options.py::test_sysctls": _NET_SYSCTLS,
    "test_device_options.py::test_the_score_of_the_oom_killer": _OWN_WORDS,
    "test_exec.py::test_in_a_container_with_an_init": _OWN_INIT,
    "test_hostile_image.py::test_run[command0-0-options1]": _OWN_INIT,
    "test_hostile_image.py::test_run[command0-0-options3]": _OWN_INIT,
    "test_hostile_image.py::test_run[command1-127-options1]": _OWN_INIT,
    "test_hostile_image.py::test_run[command1-127-options3]": _OWN_INIT,
    "test_hostile_image.py::test_run[command2-126-options1]": _OWN_INIT,
    "test_hostile_image.py::test_run[command2-126-options3]": _OWN_INIT,
    "test_hostile_image.py::test_exec[options1]": _OWN_INIT,
    "test_hostile_image.py::test_init_is_closed_to_the_container_s_root": _OWN_INIT,
    "test_image_contents.py::test_mounts_go_where_links_to_nothing_lead": _ODD_ROOTS,
    "test_image_contents.py::test_links_in_a_circle_are_an_error": _OWN_WORDS,
    "test_image_contents.py::test_a_folder_upon_a_file_and_a_working_folder_that_is_a_file": _OWN_WORDS,
    "system/test_init.py::": _OWN_INIT,
    "test_initialized.py::test_a_command_that_is_not_there_is_told_at_the_start": "crun looks for the command before the start",
    "test_kill.py::test_any_rl_ends_a_container_without_helpers_that_cleared_its_death_signal": _ENDED_SOONER,
    "test_leaks.py::test_containers_leave_nothing": _OWN_INIT,
    "test_namespaces.py::test_a_killed_monitor_takes_those_along_too": _SHARED_PID,
    "test_namespaces.py::test_a_pid_namespace_is_shared": _SHARED_PID,
    "test_namespaces.py::test_inspect_shows_the_modes_as_docker_does": _SHARED_PID,
    "test_namespaces.py::test_joining_works_with_each_driver": _SHARED_PID,
    "test_namespaces.py::test_kept_groups_open_what_only_they_may_read": _KEPT_GROUPS,
    "test_namespaces.py::test_namespaces_without_power_over_them_are_seen_all_the_same": _SHARED_PID,
    "test_namespaces.py::test_the_end_of_the_target_ends_a_joined_pid_namespace_only": _SHARED_PID,
    "test_namespaces.py::test_the_node_s_namespaces_are_shared_on_demand": _SHARED_PID,
    "test_namespaces.py::test_what_init_leaves_in_a_shared_pid_namespace_ends_with_the_container": _SHARED_PID,
    "test_namespaces.py::test_with_one_id": _SHARED_PID,
    "test_run.py::test_init_reaps_and_forwards": _OWN_INIT,
    "test_seccomp_inside.py::test_every_system_call[run]": "Debian's libseccomp, which crun uses, does not know the newest calls",
    "test_security_options.py::test_with_one_id": _NET_SYSCTLS,
    "test_security_options.py::test_labels": "crun refuses an AppArmor profile, unconfined too, where the kernel has none",
    "test_surroundings.py::test_signals_that_the_caller_ignores_are_not_ignored_inside[options1]": _OWN_INIT,
    "test_surroundings.py::test_a_data_root_that_is_not_utf_8": "config.json is JSON: another runtime cannot be told such a path",
    "test_terminal.py::test_ctrl_c_without_a_terminal_ends_the_container": _OWN_INIT,
}


def why_not(node_id: str) -> str | None:
    """Return why a test is not for another runtime, or None where it is."""
    return next((reason for part, reason in DIFFERENCES.items() if part in node_id), None)
