"""The filters that inventories and templates call; what each does is in the collection's module_utils, by subject."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils import (
    application_upstreams,
    derived_secret,
    drains,
    endpoints,
    expressions,
    http_fields,
    logs,
    members,
    network,
    nginx_values,
    rollouts,
    site_certificates,
    source_values,
    specs,
    status,
    unit_values,
    upstreams,
    waf_inputs,
)

# Roles name most of these in their specs (`Format: nginx_size.`): they return the value, or raise with the remedy.
FORMATS: tuple[Callable[..., Any], ...] = (
    derived_secret.long_secret,
    http_fields.crypt_hash,
    http_fields.header_name,
    http_fields.header_text,
    http_fields.redirect_target,
    http_fields.request_header_value,
    http_fields.request_rate,
    members.member_address,
    members.whole_seconds,
    network.network_address,
    network.network_port,
    network.network_range,
    network.port_range,
    nginx_values.cache_key,
    nginx_values.host_path,
    nginx_values.listen_address,
    nginx_values.location_path,
    nginx_values.nginx_duration,
    nginx_values.nginx_name,
    nginx_values.nginx_path,
    nginx_values.nginx_quote,
    nginx_values.nginx_size,
    nginx_values.nginx_variable,
    nginx_values.server_name,
    rollouts.batch_size,
    source_values.git_ref,
    source_values.sha256_sum,
    source_values.source_place,
    unit_values.environment_variable,
    unit_values.release_path,
    unit_values.release_version,
    unit_values.unit_name,
    unit_values.unit_path,
    unit_values.unit_percent,
    unit_values.unit_size,
    waf_inputs.media_type,
    waf_inputs.waf_parameter,
)
OTHERS: tuple[Callable[..., Any], ...] = (
    application_upstreams.application_upstreams,
    derived_secret.derived_secret,
    drains.drain_members,
    drains.drain_notes,
    drains.member_hosts,
    drains.outdated_hosts,
    drains.rotation_batches,
    drains.skippable_machines,
    drains.unserved_upstreams,
    endpoints.member_endpoints,
    endpoints.site_host,
    expressions.backtracking_regex,
    logs.log_applications,
    logs.log_lines,
    logs.log_query,
    logs.log_remarks,
    logs.log_selection,
    members.private_addresses,
    members.upstream_members,
    members.upstream_server,
    rollouts.preparation_failures,
    rollouts.rollback_target,
    rollouts.rollout_batches,
    rollouts.rollout_report,
    site_certificates.signed_domains,
    site_certificates.site_certificates,
    specs.spec_defaults,
    specs.spec_problems,
    specs.spec_values,
    status.environment_status,
    status.gated_endpoints,
    status.rollout_locks,
    status.status_table,
    upstreams.host_names,
    upstreams.upstream_blocks,
    upstreams.upstream_pools,
    waf_inputs.uses_waf,
)


class FilterModule:
    """Offer the functions under their own names."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {function.__name__: function for function in (*FORMATS, *OTHERS)}
