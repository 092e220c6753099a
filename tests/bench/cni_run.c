/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Starts plugins as a runtime does, a chain for each container, and times each chain from the first exec to the last exit.
 *   cni_run KIND COMMAND FIRST COUNT AT-ONCE FOLDER [LAST]
 * KIND is netd, bridge (bridge and portmap) or netavark; container i is in the namespace /run/netns/bI and publishes port 10000 + I % 50000;
 * FOLDER has conf (and portmap), and gets a result for each container. LAST: a program that runs in the namespace between ADD and exit.
 * Prints a line each: microseconds, or "failed" and what the plugin said.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TEXT_MAX 16384

static const char *kind, *folder, *last;
static bool adds;
static char conf[TEXT_MAX], portmap[TEXT_MAX];

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void read_file(const char *name, char *to)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(to, 1, TEXT_MAX - 1, f) : 0;
	to[n] = '\0';
	if (f) {
		fclose(f);
	}
}

static void write_file(const char *name, const char *text)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *f = fopen(path, "we");
	if (f) {
		fputs(text, f);
		fclose(f);
	}
}

/* One process: input to its standard input, what it prints into `out`; its status. */
static int plugin(const char *const argv[], char *const env[], const char *input, char *out)
{
	posix_spawn_file_actions_t fa;
	int in[2], from[2], status = -1;
	pid_t pid;
	size_t n = 0;

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0) {
		return -1;
	}
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, in[0], 0);
	posix_spawn_file_actions_adddup2(&fa, from[1], 1);
	int rc = posix_spawn(&pid, argv[0], &fa, NULL, (char *const *)(uintptr_t)argv, env);
	posix_spawn_file_actions_destroy(&fa);
	close(in[0]);
	close(from[1]);
	if (rc == 0) {
		(void)!write(in[1], input, strlen(input));
	}
	close(in[1]);
	for (ssize_t got;
	     rc == 0 && n < TEXT_MAX - 1 && (got = read(from[0], out + n, TEXT_MAX - 1 - n)) > 0;) {
		n += (size_t)got;
	}
	out[n] = '\0';
	close(from[0]);
	if (rc == 0) {
		waitpid(pid, &status, 0);
	}
	return rc == 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The text with %d replaced by the container's number, %p by its port. */
static void fill(const char *from, int i, char *to)
{
	size_t n = 0;

	for (; *from && n < TEXT_MAX - 20; from++) {
		if (from[0] == '%' && (from[1] == 'd' || from[1] == 'p')) {
			n += (size_t)snprintf(to + n, 20, "%d",
			                      from[1] == 'd' ? i : 10000 + i % 50000);
			from++;
		} else if (from[0] == '%' && from[1] == 'h') { /* as podman's ids are */
			n += (size_t)snprintf(to + n, 80, "%064x", i);
			from++;
		} else if (from[0] == '%' && from[1] == 'a') { /* an address' end */
			n += (size_t)snprintf(to + n, 20, "%d.%d", i / 250 + 1, i % 250 + 2);
			from++;
		} else {
			to[n++] = *from;
		}
	}
	to[n] = '\0';
}

/* The end of a JSON object gets one more member. */
static void add_member(char *object, const char *name, const char *value)
{
	char *end = strrchr(object, '}');

	if (end && strlen(object) + strlen(value) + 40 < TEXT_MAX) {
		sprintf(end, ",\"%s\":%s}", name, *value ? value : "{}");
	}
}

static int chain(int i, char *out)
{
	static char input[TEXT_MAX], result[TEXT_MAX];
	char id[40], netns[60], name[40], path[40];
	char command[24], ifname[] = "CNI_IFNAME=eth0", where[] = "CNI_PATH=/usr/lib/cni",
			  search[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
	char *env[] = { command, id, netns, ifname, where, search, NULL };

	snprintf(command, sizeof(command), "CNI_COMMAND=%s", adds ? "ADD" : "DEL");
	snprintf(id, sizeof(id), "CNI_CONTAINERID=b%d", i);
	snprintf(netns, sizeof(netns), "CNI_NETNS=/run/netns/b%d", i);
	snprintf(path, sizeof(path), "/run/netns/b%d", i);
	snprintf(name, sizeof(name), "result-%d", i);
	result[0] = '\0';
	if (!adds) {
		read_file(name, result);
	}
	fill(conf, i, input);
	if (strcmp(kind, "netavark") == 0) {
		const char *argv[] = { "/usr/lib/podman/netavark",  "--config", "/run/netavark",
			               adds ? "setup" : "teardown", path,       NULL };

		return plugin(argv, env, input, out);
	}
	if (strcmp(kind, "netd") == 0) {
		const char *argv[] = { getenv("PLUGIN"), NULL };
		int rc = plugin(argv, env, input, out);

		return rc;
	}
	const char *bridge[] = { "/usr/lib/cni/bridge", NULL },
		   *map[] = { "/usr/lib/cni/portmap", NULL };
	int rc = 0;
	if (adds) {
		rc = plugin(bridge, env, input, out);
		write_file(name, out);
		snprintf(result, sizeof(result), "%s", out);
	}
	if (rc == 0 && portmap[0]) {
		fill(portmap, i, input);
		add_member(input, "prevResult", result);
		rc = plugin(map, env, input, out);
	}
	if (rc == 0 && !adds) {
		fill(conf, i, input);
		add_member(input, "prevResult", result);
		rc = plugin(bridge, env, input, out);
	}
	return rc;
}

/* A worker's share: every at_once-th. */
static void work(int first, int count, int at_once, int me)
{
	static char out[TEXT_MAX];

	for (int i = first + me; i < first + count; i += at_once) {
		double start = now_us();
		int rc = chain(i, out);

		if (rc == 0 && last) {
			static char command[TEXT_MAX];

			fill(last, i, command);
			rc = system(command);
		}
		double took = now_us() - start;
		if (rc == 0) {
			printf("%.1f\n", took);
		} else {
			out[strcspn(out, "\n")] = '\0';
			printf("failed %d %.300s\n", rc, out);
		}
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	if (argc < 7) {
		fprintf(stderr, "cni_run KIND COMMAND FIRST COUNT AT-ONCE FOLDER [LAST]\n");
		return 2;
	}
	kind = argv[1];
	adds = strcmp(argv[2], "ADD") == 0;
	folder = argv[6];
	last = argc > 7 ? argv[7] : NULL;
	read_file("conf", conf);
	read_file("portmap", portmap);
	int at_once = atoi(argv[5]);
	for (int i = 1; i < at_once; i++) {
		if (fork() == 0) {
			work(atoi(argv[3]), atoi(argv[4]), at_once, i);
			_exit(0);
		}
	}
	work(atoi(argv[3]), atoi(argv[4]), at_once, 0);
	while (wait(NULL) > 0) {
	}
	return 0;
}
