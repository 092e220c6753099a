/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dns_replay FOLDER...: what packets of a fuzzer's corpus cost the answer path, as it is released. Prints how many there
 * are, the mean, and the dearest one's: nanoseconds a packet, each the least of many turns.
 */
#include <dirent.h>
#include <sys/stat.h>
#include <time.h>

#include "tests/unit/dns/world.h"

#define PACKETS 100000
#define TURNS   50

static struct packet {
	uint8_t *p;
	size_t n;
} v[PACKETS];
static size_t n_v;

static void load(const char *folder)
{
	DIR *d = opendir(folder);
	const struct dirent *f;

	while (d && (f = readdir(d)) && n_v < PACKETS) {
		char path[600];
		struct stat st;

		snprintf(path, sizeof(path), "%s/%.250s", folder, f->d_name);
		FILE *in = stat(path, &st) == 0 && S_ISREG(st.st_mode) ? fopen(path, "rb") : NULL;
		if (in) {
			v[n_v].p = malloc(65536);
			v[n_v].n = v[n_v].p ? fread(v[n_v].p, 1, 65535, in) : 0;
			n_v++;
			fclose(in);
		}
	}
	if (d) {
		closedir(d);
	}
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
	static uint8_t out[65535];
	static struct dns_server server = { .nsid = "n", .version = "v", .secrets = { .n = 1 } };
	struct err e = ERR_INIT;
	bool adopted;
	struct dns_zones *z = dns_zones_new(-1, &adopted, &e);
	double sum = 0, worst = 0;

	world_zone(z, 1, 0, 0, "westeurope.azurecontainer.io");
	world_put(z, 1, "web", "A 192.0.2.2;AAAA 2001::");
	world_put(z, 1, "a.b.c", "A 192.0.2.2;TXT text");
	world_put(z, 1, "c", "CNAME d.westeurope.azurecontainer.io");
	world_put(z, 1, "d", "CNAME c.westeurope.azurecontainer.io");
	world_put(z, 1, "*.x", "A 192.0.2.2");
	world_put(z, 1, "n", "NS a.n.westeurope.azurecontainer.io");
	world_put(z, 1, "o", "DNAME o.o.westeurope.azurecontainer.io");
	for (int i = 1; i < argc; i++) {
		load(argv[i]);
	}
	for (size_t i = 0; i < n_v; i++) {
		double least = 1e18;

		for (int k = 0; k < TURNS; k++) {
			struct dns_ask a = { .zones = z,
				             .view = dns_view_of(z, 0),
				             .server = &server,
				             .client_len = 4 };
			double began = now_ns();

			(void)dns_answer(&a, v[i].p, v[i].n, out, 1232);
			double took = now_ns() - began;
			least = took < least ? took : least;
		}
		sum += least;
		worst = least > worst ? least : worst;
	}
	printf("%zu %.0f %.0f\n", n_v, n_v ? sum / (double)n_v : 0, worst);
	dns_zones_free(z);
	return n_v ? 0 : 1;
}
