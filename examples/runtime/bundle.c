/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See bundle.h. Writes below the runtime's folder only.
 */
#include "examples/runtime/bundle.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "examples/runtime/image.h"
#include "lib/base/buf.h"
#include "lib/base/own.h"
#include "lib/model/model.h"

void bundle_setup(const char *dir)
{
	mkdir(dir, 0755);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void bundle_remove(const char *dir)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static int write_file(const char *path, const void *data, size_t len, mode_t mode)
{
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);

	return fd >= 0 && write(fd, data, len) == (ssize_t)len ? 0 : -1;
}

static int copy_program(const char *from, const char *to)
{
	AUTO_CLOSE int in = open(from, O_RDONLY | O_CLOEXEC);
	AUTO_CLOSE int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	struct stat st;

	if (in < 0 || out < 0 || fstat(in, &st) < 0) {
		return -1;
	}
	return sendfile(out, in, NULL, (size_t)st.st_size) == st.st_size ? 0 : -1;
}

/* "mcr.microsoft.com/azuredocs/aci-helloworld:latest" → "aci-helloworld" */
static void image_name(const char *image, char *to, size_t size)
{
	const char *slash = strrchr(image, '/');

	snprintf(to, size, "%s", slash ? slash + 1 : image);
	to[strcspn(to, ":@")] = '\0';
}

static int root_folder(struct bundle *b, char root[512])
{
	char name[128], path[600];
	const char *image = model_str(b->container, "properties.image");

	image_name(image, name, sizeof(name));
	snprintf(root, 512, "%s/%s", image[0] == '/' ? "" : b->images,
	         image[0] == '/' ? image : name);
	if (name[0] && name[0] != '.' && image_is_layout(root)) {
		char layout[512];

		memcpy(layout, root, sizeof(layout));
		snprintf(root, 512, "%.200s/%.63s/rootfs", b->dir, b->name);
		return mkdir(root, 0755) < 0 ? -1 : image_unpack(layout, root, &b->image);
	}
	if (name[0] && name[0] != '.' && access(root, X_OK) == 0) {
		return 0;
	}
	b->substituted = true;
	snprintf(root, 512, "%s/%s/rootfs", b->dir, b->name);
	snprintf(path, sizeof(path), "%s/helloworld", root);
	return mkdir(root, 0755) == 0 && copy_program(b->helloworld, path) == 0 ? 0 : -1;
}

static json_t *environment(const struct bundle *b)
{
	json_t *env = json_array(), *x, *own = json_object_get(b->image, "Env");
	struct buf ports = { 0 };
	char line[4096];
	size_t i;

	json_array_append_new(
		env,
		json_string("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
	json_array_extend(env, own); /* later ones win */
	json_array_foreach(model_at(b->container, "properties.environmentVariables"), i, x)
	{
		const char *secure = model_str(x, "secureValue");

		snprintf(line, sizeof(line), "%s=%s", model_str(x, "name"),
		         *secure ? secure : model_str(x, "value"));
		json_array_append_new(env, json_string(line));
	}
	json_array_foreach(model_at(b->container, "properties.ports"), i, x)
	{
		buf_addf(&ports, "%s%lld", i ? " " : "",
		         (long long)json_integer_value(json_object_get(x, "port")));
	}
	snprintf(line, sizeof(line), "PORTS=%s", buf_str(&ports));
	buf_fini(&ports);
	json_array_append_new(env, json_string(line));
	snprintf(line, sizeof(line), "GROUP=%s", b->group);
	json_array_append_new(env, json_string(line));
	snprintf(line, sizeof(line), "CONTAINER=%s", b->name);
	json_array_append_new(env, json_string(line));
	return env;
}

static void add_mount(json_t *mounts, const char *to, const char *type, const char *from,
                      const char *options)
{
	json_t *list = json_array();
	AUTO_FREE char *copy = strdup(options);
	char *save = NULL;

	for (const char *o = strtok_r(copy, ",", &save); o; o = strtok_r(NULL, ",", &save)) {
		json_array_append_new(list, json_string(o));
	}
	json_array_append_new(mounts, json_pack("{s:s, s:s, s:s, s:o}", "destination", to, "type",
	                                        type, "source", from, "options", list));
}

static int base64(const char *s, uint8_t *to, size_t size)
{
	size_t n = 0;
	unsigned bits = 0, have = 0;

	for (; *s && *s != '='; s++) {
		static const char digits[] =
			"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
		const char *d = strchr(digits, *s);

		if (!d || n == size) {
			return -1;
		}
		bits = bits << 6 | (unsigned)(d - digits);
		have += 6;
		if (have >= 8) {
			have -= 8;
			to[n++] = (uint8_t)(bits >> have);
		}
	}
	return (int)n;
}

/* Folder of a volume: shared by the group's containers; secret files are written once. */
static int volume(const struct bundle *b, const char *name, char path[600])
{
	json_t *x, *v;
	const char *key;
	size_t i;

	snprintf(path, 600, "%s/volumes", b->dir);
	mkdir(path, 0755);
	snprintf(path, 600, "%s/volumes/%s", b->dir, name);
	if (mkdir(path, 0777) < 0) {
		return 0; /* there already */
	}
	json_array_foreach(model_at(b->message, "group.properties.volumes"), i, x)
	{
		if (strcmp(model_str(x, "name"), name) != 0) {
			continue;
		}
		json_object_foreach(json_object_get(x, "secret"), key, v)
		{
			const char *text = json_string_value(v);
			AUTO_FREE uint8_t *data = malloc(text ? strlen(text) + 1 : 1);
			int n = text && data ? base64(text, data, strlen(text)) : -1;
			char file[800];

			snprintf(file, sizeof(file), "%s/%.150s", path, key);
			if (n < 0 || strchr(key, '/') ||
			    write_file(file, data, (size_t)n, 0400) < 0) {
				return -1;
			}
		}
	}
	return 0;
}

static json_t *mounts_of(const struct bundle *b)
{
	json_t *mounts = json_array(), *x;
	char path[600];
	size_t i;

	add_mount(mounts, "/proc", "proc", "proc", "nosuid,noexec,nodev");
	add_mount(mounts, "/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k");
	add_mount(mounts, "/dev/pts", "devpts", "devpts",
	          "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620");
	add_mount(mounts, "/tmp", "tmpfs", "tmpfs", "nosuid,nodev,mode=1777");
	snprintf(path, sizeof(path), "%s/resolv.conf", b->dir);
	write_file(path, model_str(b->message, "resolvConf"),
	           strlen(model_str(b->message, "resolvConf")), 0644);
	add_mount(mounts, "/etc/resolv.conf", "bind", path, "bind,ro");
	struct buf hosts = { 0 };
	buf_addf(&hosts, "127.0.0.1 localhost\n::1 localhost\n");
	json_array_foreach(model_at(b->message, "addresses"), i, x)
	{
		buf_addf(&hosts, "%s %s\n", json_string_value(x), b->group);
	}
	snprintf(path, sizeof(path), "%s/hosts", b->dir);
	write_file(path, hosts.data, hosts.len, 0644);
	buf_fini(&hosts);
	add_mount(mounts, "/etc/hosts", "bind", path, "bind,ro");
	json_array_foreach(model_at(b->container, "properties.volumeMounts"), i, x)
	{
		if (volume(b, model_str(x, "name"), path) < 0) {
			json_decref(mounts);
			return NULL;
		}
		add_mount(mounts, model_str(x, "mountPath"), "bind", path,
		          json_is_true(json_object_get(x, "readOnly")) ? "bind,ro" : "bind,rw");
	}
	return mounts;
}

static json_t *linux_part(const struct bundle *b)
{
	double cpu = json_number_value(model_at(b->container, "properties.resources.requests.cpu"));
	double gb = json_number_value(
		model_at(b->container, "properties.resources.requests.memoryInGB"));
	char cgroup[200];
	json_t *l;

	snprintf(cgroup, sizeof(cgroup), "/%s", b->id);
	l = json_pack("{s:s, s:[{s:s},{s:s},{s:s},{s:s},{s:s,s:s}]}", "cgroupsPath", cgroup,
	              "namespaces", "type", "pid", "type", "ipc", "type", "uts", "type", "mount",
	              "type", "network", "path", model_str(b->message, "namespace"));
	json_t *resources = json_object();
	if (gb > 0) {
		json_object_set_new(resources, "memory",
		                    json_pack("{s:I}", "limit", (json_int_t)(gb * 1073741824.0)));
	}
	if (cpu > 0) {
		json_object_set_new(resources, "cpu",
		                    json_pack("{s:i, s:I}", "period", 100000, "quota",
		                              (json_int_t)(cpu * 100000)));
	}
	json_object_set_new(l, "resources", resources);
	return l;
}

/* The document's command, else the image's. */
static json_t *arguments(const struct bundle *b)
{
	json_t *command = model_at(b->container, "properties.command"), *args = json_array();

	if (b->substituted) {
		json_array_append_new(args, json_string("/helloworld"));
	} else if (json_array_size(command)) {
		json_array_extend(args, command);
	} else {
		json_array_extend(args, json_object_get(b->image, "Entrypoint"));
		json_array_extend(args, json_object_get(b->image, "Cmd"));
		if (json_array_size(args) == 0) {
			json_array_append_new(args, json_string("/bin/sh"));
		}
	}
	return args;
}

/* securityContext.runAsUser and runAsGroup, else the image's User: numbers, or a name of its
 * /etc/passwd. */
static void user_of(const struct bundle *b, const char *root, int *uid, int *gid)
{
	const json_t *u = model_at(b->container, "properties.securityContext.runAsUser"),
		     *g = model_at(b->container, "properties.securityContext.runAsGroup");
	const char *user = model_str(b->image, "User");
	char path[600], line[512], name[64];

	*uid = *gid = 0;
	if (*user && sscanf(user, "%d:%d", uid, gid) < 1) {
		snprintf(path, sizeof(path), "%s/etc/passwd", root);
		FILE *f = fopen(path, "r");

		while (f && fgets(line, sizeof(line), f)) {
			int a, c;

			if (sscanf(line, "%63[^:]:%*[^:]:%d:%d", name, &a, &c) == 3 &&
			    strcmp(name, user) == 0) {
				*uid = a;
				*gid = c;
			}
		}
		if (f) {
			fclose(f);
		}
	}
	*uid = json_is_integer(u) ? (int)json_integer_value(u) : *uid;
	*gid = json_is_integer(g) ? (int)json_integer_value(g) : *gid;
}

int bundle_make(struct bundle *b)
{
	int uid, gid;
	char path[600], root[512];
	json_t *args, *mounts, *caps = json_array();
	static const char *const kept[] = { "CAP_CHOWN",  "CAP_KILL",   "CAP_NET_BIND_SERVICE",
		                            "CAP_SETGID", "CAP_SETUID", "CAP_DAC_OVERRIDE",
		                            "CAP_FOWNER" };

	mkdir(b->dir, 0755);
	snprintf(path, sizeof(path), "%s/%s", b->dir, b->name);
	if (mkdir(path, 0755) < 0 || root_folder(b, root) < 0 || !(mounts = mounts_of(b))) {
		json_decref(caps);
		return -1;
	}
	for (size_t i = 0; i < ARRAY_N(kept); i++) {
		json_array_append_new(caps, json_string(kept[i]));
	}
	args = arguments(b);
	user_of(b, root, &uid, &gid);
	const char *cwd = model_str(b->image, "WorkingDir");
	json_t *config = json_pack(
		"{s:s, s:{s:b, s:{s:i, s:i}, s:o, s:o, s:s, s:b, s:{s:O, s:O, s:O}}, s:{s:s, s:b}, s:s, s:o, s:o}",
		"ociVersion", "1.0.2", "process", "terminal", 0, "user", "uid", uid, "gid", gid,
		"args", args, "env", environment(b), "cwd", *cwd == '/' ? cwd : "/",
		"noNewPrivileges", 1, "capabilities", "bounding", caps, "effective", caps,
		"permitted", caps, "root", "path", root, "readonly", 0, "hostname", b->group,
		"mounts", mounts, "linux", linux_part(b));
	json_decref(caps);
	snprintf(path, sizeof(path), "%s/%s/config.json", b->dir, b->name);
	int rc = config ? json_dump_file(config, path, JSON_INDENT(1)) : -1;
	chmod(path, 0600); /* may hold secrets */
	json_decref(config);
	json_decref(b->image);
	b->image = NULL;
	return rc;
}
