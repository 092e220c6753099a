/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The descriptor tables: every property the plane knows, by resource type. A new property is a
 * row. Sources: the Azure REST specifications of each type (facts in docs/azure-compatibility.md).
 */
#include <strings.h>

#include "lib/model/model.h"

#define REQ    MODEL_REQUIRED
#define RO     MODEL_READONLY
#define SEC    MODEL_SECRET
#define KEPT   MODEL_KEPT
#define NOT    MODEL_REFUSED
#define FIELDS static const struct model_field
#define END                  \
	{                    \
		.name = NULL \
	}
#define S(n, fl)                                      \
	{                                             \
		n, MODEL_STRING, fl, 0, 0, NULL, NULL \
	}
#define L(n, fl, lo, hi)                                \
	{                                               \
		n, MODEL_STRING, fl, lo, hi, NULL, NULL \
	}
#define I(n, fl, lo, hi)                             \
	{                                            \
		n, MODEL_INT, fl, lo, hi, NULL, NULL \
	}
#define D(n, fl, lo, hi)                                \
	{                                               \
		n, MODEL_NUMBER, fl, lo, hi, NULL, NULL \
	}
#define B(n, fl)                                    \
	{                                           \
		n, MODEL_BOOL, fl, 0, 0, NULL, NULL \
	}
#define E(n, fl, values)                              \
	{                                             \
		n, MODEL_ENUM, fl, 0, 0, values, NULL \
	}
#define O(n, fl, sub)                                \
	{                                            \
		n, MODEL_OBJECT, fl, 0, 0, NULL, sub \
	}
#define A(n, fl, max, sub)                              \
	{                                               \
		n, MODEL_OBJECTS, fl, 1, max, NULL, sub \
	}
#define K(n, kind, fl)                        \
	{                                     \
		n, kind, fl, 0, 0, NULL, NULL \
	}

#define TOP                                                                                \
	S("id", RO), S("name", RO), S("type", RO), S("etag", RO), L("location", 0, 1, 90), \
		K("tags", MODEL_MAP, 0), K("zones", MODEL_STRINGS, KEPT)

#define CHILD S("id", RO), S("type", RO), S("etag", RO), L("name", 0, 1, 80)

FIELDS ref_fields[] = { L("id", REQ, 1, 1000), END };

/* ---- containerGroups ---- */
FIELDS port_fields[] = { I("port", REQ, 1, 65535), E("protocol", 0, "TCP|UDP"), END };
FIELDS env_fields[] = { L("name", REQ, 1, 1000), S("value", 0), S("secureValue", SEC),
	                S("secureValueReference", KEPT), END };
FIELDS amount_fields[] = { D("cpu", REQ, 0.01, 1024), D("memoryInGB", REQ, 0.01, 65536),
	                   K("gpu", MODEL_MAP, KEPT), END };
FIELDS limit_fields[] = { D("cpu", 0, 0.01, 1024), D("memoryInGB", 0, 0.01, 65536),
	                  K("gpu", MODEL_MAP, KEPT), END };
FIELDS resource_fields[] = { O("requests", REQ, amount_fields), O("limits", 0, limit_fields), END };
FIELDS mount_fields[] = { L("name", REQ, 1, 63), L("mountPath", REQ, 1, 4096), B("readOnly", 0),
	                  END };
FIELDS get_fields[] = { S("path", 0), I("port", REQ, 1, 65535), E("scheme", 0, "http|https"),
	                K("httpHeaders", MODEL_ANY, 0), END };
FIELDS exec_fields[] = { K("command", MODEL_STRINGS, 0), END };
FIELDS probe_fields[] = { O("exec", 0, exec_fields),
	                  O("httpGet", 0, get_fields),
	                  I("initialDelaySeconds", 0, 0, 86400),
	                  I("periodSeconds", 0, 0, 86400),
	                  I("failureThreshold", 0, 0, 1000),
	                  I("successThreshold", 0, 0, 1000),
	                  I("timeoutSeconds", 0, 0, 86400),
	                  END };
FIELDS config_fields[] = { K("keyValuePairs", MODEL_MAP, 0), END };
FIELDS container_props[] = { L("image", REQ, 1, 1000),
	                     K("command", MODEL_STRINGS, 0),
	                     A("ports", 0, 100, port_fields),
	                     A("environmentVariables", 0, 1000, env_fields),
	                     K("instanceView", MODEL_ANY, RO),
	                     O("resources", REQ, resource_fields),
	                     A("volumeMounts", 0, 100, mount_fields),
	                     O("livenessProbe", KEPT, probe_fields),
	                     O("readinessProbe", 0, probe_fields),
	                     O("configMap", 0, config_fields),
	                     K("securityContext", MODEL_MAP, KEPT),
	                     END };
FIELDS container_fields[] = { L("name", REQ, 1, 63), O("properties", REQ, container_props), END };
FIELDS init_props[] = { L("image", 0, 1, 1000),
	                K("command", MODEL_STRINGS, 0),
	                A("environmentVariables", 0, 1000, env_fields),
	                K("instanceView", MODEL_ANY, RO),
	                A("volumeMounts", 0, 100, mount_fields),
	                END };
FIELDS init_fields[] = { L("name", REQ, 1, 63), O("properties", REQ, init_props), END };
FIELDS address_fields[] = { { "ports", MODEL_OBJECTS, REQ, 0, 100, NULL, port_fields },
	                    E("type", REQ, "Public|Private"),
	                    K("ip", MODEL_IP, 0),
	                    K("dnsNameLabel", MODEL_LABEL, 0),
	                    E("autoGeneratedDomainNameLabelScope", 0,
	                      "Unsecure|TenantReuse|SubscriptionReuse|ResourceGroupReuse|Noreuse"),
	                    E("dnsNameLabelReusePolicy", 0,
	                      "Unsecure|TenantReuse|SubscriptionReuse|ResourceGroupReuse|Noreuse"),
	                    S("fqdn", RO),
	                    END };
FIELDS subnet_id_fields[] = { L("id", REQ, 1, 1000), S("name", 0), END };
FIELDS dns_fields[] = { { "nameServers", MODEL_STRINGS, REQ, 1, 20, NULL, NULL },
	                S("searchDomains", 0),
	                S("options", 0),
	                END };
FIELDS credential_fields[] = { L("server", REQ, 1, 1000), S("username", 0),
	                       S("password", SEC),        S("identity", KEPT),
	                       S("identityUrl", KEPT),    END };
FIELDS file_fields[] = { L("shareName", REQ, 1, 1000), B("readOnly", 0),
	                 L("storageAccountName", REQ, 1, 1000), S("storageAccountKey", SEC), END };
FIELDS volume_fields[] = { L("name", REQ, 1, 63),         O("azureFile", KEPT, file_fields),
	                   K("emptyDir", MODEL_MAP, 0),   K("secret", MODEL_MAP, SEC),
	                   K("gitRepo", MODEL_MAP, KEPT), END };
FIELDS log_fields[] = { L("workspaceId", REQ, 1, 1000), S("workspaceKey", SEC),
	                E("logType", 0, "ContainerInsights|ContainerInstanceLogs"), END };
FIELDS diagnostics_fields[] = { O("logAnalytics", KEPT, log_fields), END };
FIELDS extension_props[] = { L("extensionType", REQ, 1, 100), L("version", REQ, 1, 100),
	                     K("settings", MODEL_ANY, 0), K("protectedSettings", MODEL_ANY, SEC),
	                     END };
FIELDS extension_fields[] = { L("name", REQ, 1, 100), O("properties", 0, extension_props), END };
/* What a group and a profile of groups have in common. */
#define TEMPLATE_PROPS                                                                           \
	S("provisioningState", RO), A("containers", REQ, 60, container_fields),                  \
		A("initContainers", 0, 60, init_fields),                                         \
		A("imageRegistryCredentials", KEPT, 100, credential_fields),                     \
		E("restartPolicy", 0, "Always|OnFailure|Never"),                                 \
		O("ipAddress", 0, address_fields), E("osType", REQ, "Linux|Windows"),            \
		A("volumes", 0, 100, volume_fields), O("diagnostics", KEPT, diagnostics_fields), \
		E("sku", 0, "Standard|Dedicated|Confidential|NotSpecified"),                     \
		K("encryptionProperties", MODEL_MAP, KEPT),                                      \
		A("extensions", KEPT, 20, extension_fields),                                     \
		K("confidentialComputeProperties", MODEL_MAP, KEPT),                             \
		E("priority", 0, "Regular|Spot")
FIELDS made_from_fields[] = { L("id", REQ, 1, 1000), I("revision", 0, 1, 1000000), END };
FIELDS standby_of_fields[] = { L("id", REQ, 1, 1000),
	                       B("failContainerGroupCreateOnReuseFailure", 0), END };
FIELDS bandwidth_fields[] = { I("ingressRate", 0, 8000, 100000000000),
	                      I("ingressBurst", 0, 8000, 34359738360),
	                      I("egressRate", 0, 8000, 100000000000),
	                      I("egressBurst", 0, 8000, 34359738360), END };
FIELDS group_props[] = { TEMPLATE_PROPS,
	                 K("instanceView", MODEL_ANY, RO),
	                 S("orchestratorId", RO),
	                 A("subnetIds", 0, 1, subnet_id_fields),
	                 O("dnsConfig", 0, dns_fields),
	                 O("containerGroupProfile", 0, made_from_fields),
	                 O("standbyPoolProfile", 0, standby_of_fields),
	                 O("networkProfile", 0, ref_fields),
	                 A("applicationSecurityGroups", 0, 10, ref_fields),
	                 B("enableIPForwarding", 0),
	                 O("bandwidth", 0, bandwidth_fields),
	                 END };
FIELDS group_fields[] = { TOP, K("netd", MODEL_ANY, RO), K("identity", MODEL_MAP, KEPT),
	                  O("properties", REQ, group_props), END };

/* ---- containerGroupProfiles, NGroups ---- */
FIELDS template_props[] = { TEMPLATE_PROPS,
	                    S("shutdownGracePeriod", 0),
	                    S("timeToLive", KEPT),
	                    B("useKrypton", KEPT),
	                    K("securityContext", MODEL_MAP, KEPT),
	                    K("revision", MODEL_ANY, RO),
	                    K("registeredRevisions", MODEL_ANY, RO),
	                    END };
FIELDS template_fields[] = { TOP, O("properties", REQ, template_props), END };
FIELDS naming_guid_fields[] = { S("prefix", 0), END };
FIELDS naming_fields[] = { O("guidNamingPolicy", 0, naming_guid_fields), END };
FIELDS elastic_fields[] = { I("desiredCount", 0, 0, 10000), B("maintainDesiredCount", 0),
	                    O("containerGroupNamingPolicy", 0, naming_fields), END };
FIELDS placement_fields[] = { I("faultDomainCount", 0, 1, 100), END };
FIELDS stub_pool_fields[] = { K("resource", MODEL_ANY, REQ), END };
FIELDS stub_lb_fields[] = { A("backendAddressPools", 0, 20, stub_pool_fields), END };
FIELDS stub_network_fields[] = { O("loadBalancer", 0, stub_lb_fields),
	                         K("applicationGateway", MODEL_MAP, NOT), END };
FIELDS stub_container_props[] = { A("volumeMounts", 0, 100, mount_fields), END };
FIELDS stub_container_fields[] = { L("name", REQ, 1, 63), O("properties", 0, stub_container_props),
	                           END };
FIELDS stub_props[] = { A("subnetIds", 0, 1, subnet_id_fields),
	                A("containers", 0, 60, stub_container_fields),
	                A("volumes", 0, 100, volume_fields), END };
FIELDS stub_fields[] = { O("resource", REQ, ref_fields),
	                 I("revision", 0, 1, 1000000),
	                 O("containerGroupProperties", 0, stub_props),
	                 O("networkProfile", 0, stub_network_fields),
	                 K("storageProfile", MODEL_MAP, KEPT),
	                 END };
FIELDS rolling_fields[] = { I("maxBatchPercent", 0, 1, 100),
	                    I("maxUnhealthyPercent", 0, 0, 100),
	                    I("maxUnhealthyUpdatedPercent", 0, 0, 100),
	                    S("pauseTimeBetweenBatches", 0),
	                    B("inPlaceUpdate", 0),
	                    END };
FIELDS update_fields[] = { E("updateMode", 0, "Manual|Rolling"),
	                   O("rollingUpdateProfile", 0, rolling_fields), END };
FIELDS ngroup_props[] = { S("provisioningState", RO),
	                  O("elasticProfile", 0, elastic_fields),
	                  O("placementProfile", 0, placement_fields),
	                  { "containerGroupProfiles", MODEL_OBJECTS, REQ, 1, 1, NULL, stub_fields },
	                  O("updateProfile", 0, update_fields),
	                  END };
FIELDS ngroup_fields[] = { TOP, K("identity", MODEL_MAP, KEPT), O("properties", REQ, ngroup_props),
	                   END };

/* ---- standby pools ---- */
FIELDS ready_fields[] = { I("maxReadyCapacity", REQ, 0, 2000), E("refillPolicy", 0, "always"),
	                  K("dynamicSizing", MODEL_MAP, KEPT), END };
FIELDS standby_group_fields[] = { O("containerGroupProfile", REQ, made_from_fields),
	                          A("subnetIds", 0, 1, subnet_id_fields), END };
FIELDS standby_props[] = { S("provisioningState", RO), O("elasticityProfile", REQ, ready_fields),
	                   O("containerGroupProperties", REQ, standby_group_fields),
	                   K("zones", MODEL_STRINGS, 0), END };
FIELDS standby_fields[] = { TOP, K("systemData", MODEL_ANY, RO),
	                    O("properties", REQ, standby_props), END };

/* ---- virtualNetworks ---- */
FIELDS space_fields[] = { { "addressPrefixes", MODEL_PREFIXES, REQ, 1, 1000, NULL, NULL }, END };
FIELDS delegation_props[] = { L("serviceName", 0, 1, 200), K("actions", MODEL_ANY, RO),
	                      S("provisioningState", RO), END };
FIELDS delegation_fields[] = { S("id", RO), S("name", 0), S("etag", RO),
	                       O("properties", 0, delegation_props), END };
FIELDS subnet_props[] = { S("provisioningState", RO),
	                  K("addressPrefix", MODEL_PREFIX, 0),
	                  { "addressPrefixes", MODEL_PREFIXES, 0, 1, 16, NULL, NULL },
	                  A("delegations", 0, 20, delegation_fields),
	                  O("networkSecurityGroup", 0, ref_fields),
	                  O("routeTable", 0, ref_fields),
	                  O("natGateway", 0, ref_fields),
	                  K("serviceEndpoints", MODEL_ANY, KEPT),
	                  B("defaultOutboundAccess", 0),
	                  K("ipConfigurations", MODEL_ANY, RO),
	                  K("serviceAssociationLinks", MODEL_ANY, RO),
	                  S("purpose", RO),
	                  S("privateEndpointNetworkPolicies", KEPT),
	                  S("privateLinkServiceNetworkPolicies", KEPT),
	                  END };
FIELDS subnet_fields[] = { CHILD, O("properties", 0, subnet_props), END };
FIELDS dhcp_fields[] = { { "dnsServers", MODEL_IPS, 0, 0, 20, NULL, NULL }, END };
FIELDS peering_props[] = { S("provisioningState", RO),
	                   S("peeringState", RO),
	                   S("peeringSyncLevel", RO),
	                   S("resourceGuid", RO),
	                   O("remoteVirtualNetwork", REQ, ref_fields),
	                   B("allowVirtualNetworkAccess", 0),
	                   B("allowForwardedTraffic", 0),
	                   B("allowGatewayTransit", 0),
	                   B("useRemoteGateways", 0),
	                   B("doNotVerifyRemoteGateways", KEPT),
	                   B("peerCompleteVnets", KEPT),
	                   B("enableOnlyIPv6Peering", KEPT),
	                   K("localAddressSpace", MODEL_ANY, RO),
	                   K("remoteAddressSpace", MODEL_ANY, RO),
	                   K("localVirtualNetworkAddressSpace", MODEL_ANY, RO),
	                   K("remoteVirtualNetworkAddressSpace", MODEL_ANY, RO),
	                   K("remoteBgpCommunities", MODEL_ANY, RO),
	                   K("remoteVirtualNetworkEncryption", MODEL_ANY, RO),
	                   END };
FIELDS peering_fields[] = { CHILD, O("properties", REQ, peering_props), END };
FIELDS vnet_props[] = { S("provisioningState", RO),
	                S("resourceGuid", RO),
	                O("addressSpace", REQ, space_fields),
	                O("dhcpOptions", KEPT, dhcp_fields),
	                A("subnets", 0, 3000, subnet_fields),
	                A("virtualNetworkPeerings", 0, 500, peering_fields),
	                I("flowTimeoutInMinutes", KEPT, 4, 30),
	                B("enableDdosProtection", KEPT),
	                END };
FIELDS vnet_fields[] = { TOP, O("properties", REQ, vnet_props), END };

/* ---- networkSecurityGroups ---- */
#define PORTS_PREFIXES(side)                                                                  \
	S(side "PortRange", 0), { side "PortRanges", MODEL_STRINGS, 0, 0, 4000, NULL, NULL }, \
		S(side "AddressPrefix", 0),                                                   \
		{ side "AddressPrefixes", MODEL_STRINGS, 0, 0, 4000, NULL, NULL },            \
	{                                                                                     \
		side "ApplicationSecurityGroups", MODEL_OBJECTS, 0, 0, 10, NULL, ref_fields   \
	}
FIELDS rule_props[] = { S("provisioningState", RO),
	                { "description", MODEL_STRING, 0, 0, 140, NULL, NULL },
	                E("protocol", REQ, "Tcp|Udp|Icmp|Esp|Ah|*"),
	                E("access", REQ, "Allow|Deny"),
	                E("direction", REQ, "Inbound|Outbound"),
	                I("priority", REQ, 100, 4096),
	                PORTS_PREFIXES("source"),
	                PORTS_PREFIXES("destination"),
	                END };
FIELDS rule_fields[] = { CHILD, O("properties", REQ, rule_props), END };
FIELDS nsg_props[] = { S("provisioningState", RO),
	               S("resourceGuid", RO),
	               B("flushConnection", 0),
	               A("securityRules", 0, 1000, rule_fields),
	               K("defaultSecurityRules", MODEL_ANY, RO),
	               K("networkInterfaces", MODEL_ANY, RO),
	               K("subnets", MODEL_ANY, RO),
	               K("flowLogs", MODEL_ANY, RO),
	               END };
FIELDS nsg_fields[] = { TOP, O("properties", 0, nsg_props), END };
FIELDS asg_props[] = { S("provisioningState", RO), S("resourceGuid", RO), END };
FIELDS asg_fields[] = { TOP, O("properties", 0, asg_props), END };

/* ---- routeTables, natGateways ---- */
FIELDS route_props[] = { S("provisioningState", RO),
	                 L("addressPrefix", REQ, 1, 64),
	                 E("nextHopType", REQ,
	                   "VirtualNetworkGateway|VnetLocal|Internet|VirtualAppliance|None"),
	                 K("nextHopIpAddress", MODEL_IP, 0),
	                 B("hasBgpOverride", RO),
	                 END };
FIELDS route_fields[] = { CHILD, O("properties", REQ, route_props), END };
FIELDS table_props[] = { S("provisioningState", RO),        S("resourceGuid", RO),
	                 A("routes", 0, 400, route_fields), B("disableBgpRoutePropagation", 0),
	                 K("subnets", MODEL_ANY, RO),       END };
FIELDS table_fields[] = { TOP, O("properties", 0, table_props), END };
FIELDS nat_sku_fields[] = { E("name", 0, "Standard|StandardV2"), S("tier", KEPT), END };
FIELDS nat_props[] = { S("provisioningState", RO),
	               S("resourceGuid", RO),
	               I("idleTimeoutInMinutes", 0, 4, 120),
	               A("publicIpAddresses", 0, 16, ref_fields),
	               A("publicIpPrefixes", 0, 16, ref_fields),
	               A("publicIpAddressesV6", 0, 16, ref_fields),
	               A("publicIpPrefixesV6", 0, 16, ref_fields),
	               K("subnets", MODEL_ANY, RO),
	               K("sourceVirtualNetwork", MODEL_MAP, NOT),
	               K("nat64", MODEL_ANY, NOT),
	               END };
FIELDS nat_fields[] = { TOP, O("sku", 0, nat_sku_fields), O("properties", 0, nat_props), END };

/* ---- virtualNetworkGateways, connections ---- */
FIELDS vgw_ip_props[] = { S("provisioningState", RO),
	                  E("privateIPAllocationMethod", KEPT, "Dynamic|Static"),
	                  S("privateIPAddress", KEPT),
	                  O("subnet", REQ, ref_fields),
	                  O("publicIPAddress", KEPT, ref_fields),
	                  END };
FIELDS vgw_ip_fields[] = { CHILD, O("properties", REQ, vgw_ip_props), END };
FIELDS vgw_sku_fields[] = { S("name", KEPT), S("tier", KEPT), K("capacity", MODEL_ANY, RO), END };
FIELDS vgw_props[] = { S("provisioningState", RO),
	               S("resourceGuid", RO),
	               A("ipConfigurations", REQ, 3, vgw_ip_fields),
	               E("gatewayType", REQ, "Vpn|ExpressRoute|LocalGateway"),
	               E("vpnType", KEPT, "PolicyBased|RouteBased"),
	               S("vpnGatewayGeneration", KEPT),
	               B("enableBgp", KEPT),
	               B("activeActive", KEPT),
	               B("enablePrivateIpAddress", KEPT),
	               K("bgpSettings", MODEL_MAP, KEPT),
	               O("sku", KEPT, vgw_sku_fields),
	               S("inboundDnsForwardingEndpoint", RO),
	               K("vpnClientConfiguration", MODEL_MAP, NOT),
	               K("gatewayDefaultSite", MODEL_MAP, NOT),
	               END };
FIELDS vgw_fields[] = { TOP, O("properties", REQ, vgw_props), END };
FIELDS connection_props[] = { S("provisioningState", RO),
	                      S("resourceGuid", RO),
	                      E("connectionType", REQ, "IPsec|Vnet2Vnet|ExpressRoute|VPNClient"),
	                      O("virtualNetworkGateway1", REQ, ref_fields),
	                      K("virtualNetworkGateway2", MODEL_MAP, NOT),
	                      K("localNetworkGateway2", MODEL_MAP, NOT),
	                      O("peer", 0, ref_fields),
	                      S("sharedKey", SEC),
	                      S("authorizationKey", SEC),
	                      I("routingWeight", KEPT, 0, 32000),
	                      B("enableBgp", KEPT),
	                      S("connectionStatus", RO),
	                      K("egressBytesTransferred", MODEL_ANY, RO),
	                      K("ingressBytesTransferred", MODEL_ANY, RO),
	                      K("tunnelConnectionStatus", MODEL_ANY, RO),
	                      END };
FIELDS connection_fields[] = { TOP, O("properties", REQ, connection_props), END };

/* ---- loadBalancers ---- */
FIELDS front_props[] = { S("provisioningState", RO),
	                 K("privateIPAddress", MODEL_IP, 0),
	                 E("privateIPAllocationMethod", 0, "Dynamic|Static"),
	                 E("privateIPAddressVersion", 0, "IPv4|IPv6"),
	                 O("subnet", 0, ref_fields),
	                 O("publicIPAddress", 0, ref_fields),
	                 K("publicIPPrefix", MODEL_MAP, NOT),
	                 K("gatewayLoadBalancer", MODEL_MAP, NOT),
	                 K("ddosSettings", MODEL_MAP, KEPT),
	                 K("inboundNatRules", MODEL_ANY, RO),
	                 K("inboundNatPools", MODEL_ANY, RO),
	                 K("outboundRules", MODEL_ANY, RO),
	                 K("loadBalancingRules", MODEL_ANY, RO),
	                 END };
FIELDS front_fields[] = { CHILD, K("zones", MODEL_STRINGS, KEPT), O("properties", REQ, front_props),
	                  END };
FIELDS backend_props[] = { O("virtualNetwork", 0, ref_fields),
	                   O("subnet", 0, ref_fields),
	                   K("ipAddress", MODEL_IP, 0),
	                   E("adminState", 0, "None|Up|Down"),
	                   I("weight", 0, 1, 100),
	                   K("networkInterfaceIPConfiguration", MODEL_ANY, RO),
	                   K("loadBalancerFrontendIPConfiguration", MODEL_MAP, NOT),
	                   K("inboundNatRulesPortMapping", MODEL_ANY, RO),
	                   END };
FIELDS backend_fields[] = { L("name", REQ, 1, 80), O("properties", 0, backend_props), END };
FIELDS pool_props[] = { S("provisioningState", RO),
	                L("location", KEPT, 1, 90),
	                I("drainPeriodInSeconds", 0, 0, 3600),
	                O("virtualNetwork", 0, ref_fields),
	                E("syncMode", KEPT, "Automatic|Manual"),
	                K("tunnelInterfaces", MODEL_ANY, NOT),
	                A("loadBalancerBackendAddresses", 0, 5000, backend_fields),
	                K("backendIPConfigurations", MODEL_ANY, RO),
	                K("loadBalancingRules", MODEL_ANY, RO),
	                K("outboundRule", MODEL_ANY, RO),
	                K("outboundRules", MODEL_ANY, RO),
	                K("inboundNatRules", MODEL_ANY, RO),
	                END };
FIELDS pool_fields[] = { CHILD, O("properties", 0, pool_props), END };
FIELDS balancing_props[] = { S("provisioningState", RO),
	                     O("frontendIPConfiguration", REQ, ref_fields),
	                     O("backendAddressPool", 0, ref_fields),
	                     A("backendAddressPools", 0, 20, ref_fields),
	                     O("probe", 0, ref_fields),
	                     E("protocol", REQ, "Tcp|Udp|All"),
	                     E("loadDistribution", 0, "Default|SourceIP|SourceIPProtocol"),
	                     I("frontendPort", REQ, 0, 65534),
	                     I("backendPort", 0, 0, 65535),
	                     I("idleTimeoutInMinutes", 0, 4, 100),
	                     B("enableFloatingIP", 0),
	                     B("enableTcpReset", 0),
	                     B("disableOutboundSnat", 0),
	                     B("enableConnectionTracking", KEPT),
	                     END };
FIELDS balancing_fields[] = { CHILD, O("properties", REQ, balancing_props), END };
FIELDS health_props[] = { S("provisioningState", RO),
	                  E("protocol", REQ, "Tcp|Http|Https"),
	                  I("port", REQ, 1, 65535),
	                  I("intervalInSeconds", 0, 5, 2147483),
	                  I("numberOfProbes", 0, 1, 1000),
	                  I("probeThreshold", 0, 1, 100),
	                  L("requestPath", 0, 1, 1000),
	                  E("noHealthyBackendsBehavior", 0, "AllProbedDown|AllProbedUp"),
	                  K("loadBalancingRules", MODEL_ANY, RO),
	                  END };
FIELDS health_fields[] = { CHILD, O("properties", REQ, health_props), END };
FIELDS inbound_props[] = { S("provisioningState", RO),
	                   O("frontendIPConfiguration", REQ, ref_fields),
	                   O("backendAddressPool", 0, ref_fields),
	                   E("protocol", REQ, "Tcp|Udp|All"),
	                   I("frontendPort", 0, 0, 65534),
	                   I("frontendPortRangeStart", 0, 0, 65534),
	                   I("frontendPortRangeEnd", 0, 0, 65534),
	                   I("backendPort", REQ, 1, 65535),
	                   I("idleTimeoutInMinutes", 0, 4, 100),
	                   B("enableFloatingIP", 0),
	                   B("enableTcpReset", 0),
	                   K("backendIPAddress", MODEL_IP, 0),
	                   K("backendIPConfiguration", MODEL_ANY, RO),
	                   END };
FIELDS inbound_fields[] = { CHILD, O("properties", REQ, inbound_props), END };
FIELDS outbound_props[] = { S("provisioningState", RO),
	                    A("frontendIPConfigurations", REQ, 16, ref_fields),
	                    O("backendAddressPool", REQ, ref_fields),
	                    E("protocol", REQ, "Tcp|Udp|All"),
	                    I("allocatedOutboundPorts", 0, 0, 64000),
	                    I("idleTimeoutInMinutes", 0, 4, 120),
	                    B("enableTcpReset", 0),
	                    END };
FIELDS outbound_fields[] = { CHILD, O("properties", REQ, outbound_props), END };
FIELDS lb_sku_fields[] = { E("name", 0, "Basic|Standard|Gateway"), E("tier", 0, "Regional|Global"),
	                   END };
FIELDS lb_props[] = { S("provisioningState", RO),
	              S("resourceGuid", RO),
	              A("frontendIPConfigurations", 0, 200, front_fields),
	              A("backendAddressPools", 0, 500, pool_fields),
	              A("loadBalancingRules", 0, 1500, balancing_fields),
	              A("probes", 0, 500, health_fields),
	              A("inboundNatRules", 0, 1500, inbound_fields),
	              A("outboundRules", 0, 500, outbound_fields),
	              { "inboundNatPools", MODEL_OBJECTS, 0, 0, 0, NULL, ref_fields },
	              S("scope", KEPT),
	              END };
FIELDS lb_fields[] = { TOP, O("sku", 0, lb_sku_fields), O("properties", 0, lb_props), END };

FIELDS watcher_props[] = { S("provisioningState", RO), END };
FIELDS watcher_fields[] = { TOP, O("properties", 0, watcher_props), END };

/* ---- publicIPAddresses ---- */
FIELDS sku_fields[] = { E("name", 0, "Basic|Standard|StandardV2"), E("tier", 0, "Regional|Global"),
	                END };
FIELDS setting_fields[] = { K("domainNameLabel", MODEL_LABEL, 0),
	                    E("domainNameLabelScope", 0,
	                      "TenantReuse|SubscriptionReuse|ResourceGroupReuse|NoReuse"),
	                    S("fqdn", RO), S("reverseFqdn", KEPT), END };
FIELDS pip_props[] = { S("provisioningState", RO),
	               S("resourceGuid", RO),
	               S("ipAddress", RO),
	               K("ipConfiguration", MODEL_ANY, RO),
	               E("publicIPAllocationMethod", 0, "Static|Dynamic"),
	               E("publicIPAddressVersion", 0, "IPv4|IPv6"),
	               I("idleTimeoutInMinutes", KEPT, 4, 30),
	               O("dnsSettings", 0, setting_fields),
	               K("ipTags", MODEL_ANY, KEPT),
	               O("publicIPPrefix", 0, ref_fields),
	               K("natGateway", MODEL_MAP, RO),
	               K("ddosSettings", MODEL_MAP, KEPT),
	               END };
FIELDS pip_fields[] = { TOP, O("sku", 0, sku_fields), O("properties", 0, pip_props), END };

/* ---- publicIPPrefixes, networkProfiles ---- */
FIELDS prefix_props[] = { S("provisioningState", RO),
	                  S("resourceGuid", RO),
	                  S("ipPrefix", RO),
	                  K("publicIPAddresses", MODEL_ANY, RO),
	                  I("prefixLength", REQ, 1, 128),
	                  E("publicIPAddressVersion", 0, "IPv4|IPv6"),
	                  K("ipTags", MODEL_ANY, KEPT),
	                  K("natGateway", MODEL_MAP, RO),
	                  K("customIPPrefix", MODEL_MAP, NOT),
	                  END };
FIELDS prefix_fields[] = { TOP, O("sku", 0, sku_fields), O("properties", REQ, prefix_props), END };
FIELDS nic_ip_props[] = { S("provisioningState", RO), O("subnet", REQ, ref_fields), END };
FIELDS nic_ip_fields[] = { CHILD, O("properties", REQ, nic_ip_props), END };
FIELDS nic_props[] = { S("provisioningState", RO), A("ipConfigurations", REQ, 10, nic_ip_fields),
	               K("containerNetworkInterfaces", MODEL_ANY, RO), END };
FIELDS nic_fields[] = { CHILD, O("properties", REQ, nic_props), END };
FIELDS profile_props[] = { S("provisioningState", RO), S("resourceGuid", RO),
	                   K("containerNetworkInterfaces", MODEL_ANY, RO),
	                   A("containerNetworkInterfaceConfigurations", REQ, 10, nic_fields), END };
FIELDS profile_fields[] = { TOP, O("properties", REQ, profile_props), END };

/* ---- private DNS zones ---- */
FIELDS dns_zone_props[] = { S("provisioningState", RO),
	                    S("internalId", RO),
	                    K("maxNumberOfRecordSets", MODEL_ANY, RO),
	                    K("numberOfRecordSets", MODEL_ANY, RO),
	                    K("maxNumberOfVirtualNetworkLinks", MODEL_ANY, RO),
	                    K("numberOfVirtualNetworkLinks", MODEL_ANY, RO),
	                    K("maxNumberOfVirtualNetworkLinksWithRegistration", MODEL_ANY, RO),
	                    K("numberOfVirtualNetworkLinksWithRegistration", MODEL_ANY, RO),
	                    END };
FIELDS dns_zone_fields[] = { TOP, O("properties", 0, dns_zone_props), END };
FIELDS dns_link_props[] = { S("provisioningState", RO),
	                    S("virtualNetworkLinkState", RO),
	                    O("virtualNetwork", REQ, ref_fields),
	                    B("registrationEnabled", 0),
	                    E("resolutionPolicy", 0, "Default|NxDomainRedirect"),
	                    END };
FIELDS dns_link_fields[] = { TOP, O("properties", REQ, dns_link_props), END };
FIELDS dns_a_fields[] = { L("ipv4Address", REQ, 1, 50), END };
FIELDS dns_aaaa_fields[] = { L("ipv6Address", REQ, 1, 50), END };
FIELDS dns_cname_fields[] = { L("cname", REQ, 1, 300), END };
FIELDS dns_mx_fields[] = { I("preference", REQ, 0, 65535), L("exchange", REQ, 1, 300), END };
FIELDS dns_ptr_fields[] = { L("ptrdname", REQ, 1, 300), END };
FIELDS dns_srv_fields[] = { I("priority", REQ, 0, 65535), I("weight", REQ, 0, 65535),
	                    I("port", REQ, 0, 65535), L("target", REQ, 1, 300), END };
FIELDS dns_txt_fields[] = { { "value", MODEL_STRINGS, REQ, 1, 100, NULL, NULL }, END };
FIELDS dns_soa_fields[] = { S("host", RO),
	                    L("email", REQ, 1, 300),
	                    K("serialNumber", MODEL_ANY, RO),
	                    I("refreshTime", REQ, 1, 2147483647),
	                    I("retryTime", REQ, 1, 2147483647),
	                    I("expireTime", REQ, 1, 2147483647),
	                    I("minimumTtl", REQ, 0, 2147483647),
	                    END };
FIELDS dns_record_props[] = { K("metadata", MODEL_MAP, 0),
	                      I("ttl", REQ, 0, 2147483647),
	                      S("fqdn", RO),
	                      K("isAutoRegistered", MODEL_ANY, RO),
	                      A("aRecords", 0, 100, dns_a_fields),
	                      A("aaaaRecords", 0, 100, dns_aaaa_fields),
	                      O("cnameRecord", 0, dns_cname_fields),
	                      A("mxRecords", 0, 100, dns_mx_fields),
	                      A("ptrRecords", 0, 100, dns_ptr_fields),
	                      A("srvRecords", 0, 100, dns_srv_fields),
	                      A("txtRecords", 0, 100, dns_txt_fields),
	                      O("soaRecord", 0, dns_soa_fields),
	                      END };
FIELDS dns_record_fields[] = { S("id", RO),
	                       S("name", RO),
	                       S("type", RO),
	                       S("etag", RO),
	                       O("properties", REQ, dns_record_props),
	                       END };
#define RECORD_SET(t)                                                                         \
	{                                                                                     \
		"Microsoft.Network/privateDnsZones/" t, dns_record_fields,                    \
			"a name inside the zone, '@' for the zone itself, '*' for any", false \
	}

/* ---- forwarding rulesets ---- */
FIELDS dns_target_fields[] = { L("ipAddress", REQ, 1, 50), I("port", 0, 1, 65535), END };
FIELDS dns_rule_props[] = { S("provisioningState", RO),
	                    L("domainName", REQ, 1, 300),
	                    A("targetDnsServers", REQ, 6, dns_target_fields),
	                    K("metadata", MODEL_MAP, 0),
	                    E("forwardingRuleState", 0, "Enabled|Disabled"),
	                    END };
FIELDS dns_rule_fields[] = { CHILD, O("properties", REQ, dns_rule_props), END };
FIELDS ruleset_link_props[] = { S("provisioningState", RO), O("virtualNetwork", REQ, ref_fields),
	                        K("metadata", MODEL_MAP, 0), END };
FIELDS ruleset_link_fields[] = { CHILD, O("properties", REQ, ruleset_link_props), END };
FIELDS ruleset_props[] = { S("provisioningState", RO),
	                   S("resourceGuid", RO),
	                   A("dnsResolverOutboundEndpoints", KEPT, 2, ref_fields),
	                   A("forwardingRules", 0, 1000, dns_rule_fields),
	                   A("virtualNetworkLinks", 0, 500, ruleset_link_fields),
	                   END };
FIELDS ruleset_fields[] = { TOP, O("properties", 0, ruleset_props), END };

FIELDS rg_props[] = { S("provisioningState", RO), END };
FIELDS rg_fields[] = { TOP, S("managedBy", KEPT), O("properties", 0, rg_props), END };

FIELDS subscription_fields[] = { TOP,
	                         S("subscriptionId", RO),
	                         S("tenantId", RO),
	                         S("state", RO),
	                         K("subscriptionPolicies", MODEL_ANY, RO),
	                         L("displayName", 0, 1, 64),
	                         END };

const struct model_type model_types[] = {
	{ "Microsoft.Resources/subscriptions", subscription_fields,
	  "1 to 80 letters, digits, -_.()", true },
	{ "Microsoft.Resources/resourceGroups", rg_fields, "1 to 80 letters, digits, -_.()", true },
	{ "Microsoft.ContainerInstance/containerGroups", group_fields,
	  "1 to 63 lower-case letters, digits and hyphens", true },
	{ "Microsoft.ContainerInstance/containerGroupProfiles", template_fields,
	  "1 to 63 letters, digits, - and _", true },
	{ "Microsoft.ContainerInstance/NGroups", ngroup_fields, "1 to 63 letters, digits, - and _",
	  true },
	{ "Microsoft.StandbyPool/standbyContainerGroupPools", standby_fields,
	  "3 to 24 letters, digits and hyphens", true },
	{ "Microsoft.Network/virtualNetworks", vnet_fields, "1 to 80 letters, digits, -_.", true },
	{ "Microsoft.Network/virtualNetworks/subnets", subnet_fields,
	  "1 to 80 letters, digits, -_.", false },
	{ "Microsoft.Network/publicIPAddresses", pip_fields, "1 to 80 letters, digits, -_.", true },
	{ "Microsoft.Network/networkSecurityGroups", nsg_fields, "1 to 80 letters, digits, -_.",
	  true },
	{ "Microsoft.Network/networkSecurityGroups/securityRules", rule_fields,
	  "1 to 80 letters, digits, -_.", false },
	{ "Microsoft.Network/virtualNetworks/virtualNetworkPeerings", peering_fields,
	  "1 to 80 letters, digits, -_.", false },
	{ "Microsoft.Network/routeTables", table_fields, "1 to 80 letters, digits, -_.", true },
	{ "Microsoft.Network/routeTables/routes", route_fields, "1 to 80 letters, digits, -_.",
	  false },
	{ "Microsoft.Network/natGateways", nat_fields, "1 to 80 letters, digits, -_.", true },
	{ "Microsoft.Network/virtualNetworkGateways", vgw_fields, "1 to 80 letters, digits, -_.",
	  true },
	{ "Microsoft.Network/connections", connection_fields, "1 to 80 letters, digits, -_.",
	  true },
	{ "Microsoft.Network/networkWatchers", watcher_fields, "1 to 80 letters, digits, -_.",
	  true },
	{ "Microsoft.Network/applicationSecurityGroups", asg_fields, "1 to 80 letters, digits, -_.",
	  true },
	{ "Microsoft.Network/loadBalancers", lb_fields, "1 to 80 letters, digits, -_.", true },
	{ "Microsoft.Network/loadBalancers/backendAddressPools", pool_fields,
	  "1 to 80 letters, digits, -_.", false },
	{ "Microsoft.Network/loadBalancers/inboundNatRules", inbound_fields,
	  "1 to 80 letters, digits, -_.", false },
	{ "Microsoft.Network/publicIPPrefixes", prefix_fields, "1 to 80 letters, digits, -_.",
	  true },
	{ "Microsoft.Network/privateDnsZones", dns_zone_fields,
	  "2 to 34 labels of letters, digits, hyphens and underscores, with dots between", true },
	{ "Microsoft.Network/privateDnsZones/virtualNetworkLinks", dns_link_fields,
	  "1 to 80 letters, digits, -_.", false },
	RECORD_SET("A"),
	RECORD_SET("AAAA"),
	RECORD_SET("CNAME"),
	RECORD_SET("MX"),
	RECORD_SET("PTR"),
	RECORD_SET("SOA"),
	RECORD_SET("SRV"),
	RECORD_SET("TXT"),
	{ "Microsoft.Network/dnsForwardingRulesets", ruleset_fields, "1 to 80 letters, digits, -_.",
	  true },
	{ "Microsoft.Network/dnsForwardingRulesets/forwardingRules", dns_rule_fields,
	  "1 to 80 letters, digits, -_.", false },
	{ "Microsoft.Network/dnsForwardingRulesets/virtualNetworkLinks", ruleset_link_fields,
	  "1 to 80 letters, digits, -_.", false },
	{ "Microsoft.Network/networkProfiles", profile_fields, "1 to 80 letters, digits, -_.",
	  true },
	{ .name = NULL },
};

const struct model_type *model_type_find(const char *name)
{
	for (const struct model_type *t = model_types; t->name; t++) {
		if (strcasecmp(t->name, name) == 0) {
			return t;
		}
	}
	return NULL;
}
