/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See image.h. Layers are unpacked by tar(1), which knows their compressions and lets no member out
 * of the folder; what a layer deletes ("whiteouts") is deleted by a child whose root that folder is.
 */
#include "examples/runtime/image.h"

#include <errno.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/own.h"
#include "lib/model/model.h"

bool image_is_layout(const char *folder)
{
	char path[600];

	snprintf(path, sizeof(path), "%s/oci-layout", folder);
	return access(path, R_OK) == 0;
}

/* Path of a descriptor's blob; digests are "sha256:" and 64 digits, so no path. */
static int blob(const char *layout, const json_t *descriptor, char path[700])
{
	const char *digest = model_str(descriptor, "digest");

	if (strncmp(digest, "sha256:", 7) != 0 || strlen(digest) != 71 ||
	    strspn(digest + 7, "0123456789abcdef") != 64) {
		return -1;
	}
	snprintf(path, 700, "%s/blobs/sha256/%s", layout, digest + 7);
	return 0;
}

static json_t *blob_json(const char *layout, const json_t *descriptor)
{
	char path[700];

	return blob(layout, descriptor, path) == 0 ? json_load_file(path, 0, NULL) : NULL;
}

/* The manifest for linux/amd64 (or this machine's), or the only one; follows one nested index. */
static json_t *manifest(const char *layout, const json_t *index, int depth)
{
	const json_t *list = json_object_get(index, "manifests"), *chosen = NULL, *x;
#ifdef __aarch64__
	static const char machine[] = "arm64";
#else
	static const char machine[] = "amd64";
#endif
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, x)
	{
		const char *arch = model_str(x, "platform.architecture");

		if (!chosen && (!*arch || strcmp(arch, machine) == 0)) {
			chosen = x;
		}
	}
	json_t *m = chosen ? blob_json(layout, chosen) : NULL;
	if (m && json_object_get(m, "manifests") && depth < 2) {
		json_t *inner = manifest(layout, m, depth + 1);

		json_decref(m);
		return inner;
	}
	return m;
}

static int run_tar(const char *archive, const char *root)
{
	int status = 1;
	pid_t pid = fork();

	if (pid == 0) {
		execlp("tar", "tar", "--extract", "--file", archive, "--directory", root,
		       "--numeric-owner", "--exclude=.wh.*", NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	return ftw->level == 0 && getenv("KEEP") ? 0 : remove(path);
}

/* One member's name, in the child: a whiteout takes away what lower layers had. */
static void whiteout(char *line)
{
	char *base, *dir = line;

	line[strcspn(line, "\n")] = '\0';
	base = strrchr(line, '/');
	base = base ? base + 1 : line;
	if (strncmp(base, ".wh.", 4) != 0) {
		return;
	}
	bool all = strcmp(base, ".wh..wh..opq") == 0;
	char path[1200];
	snprintf(path, sizeof(path), "/%.*s%s", (int)(base - dir), dir, all ? "." : base + 4);
	if (all) {
		setenv("KEEP", "1", 1);
	} else {
		unsetenv("KEEP");
	}
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static int whiteouts(const char *archive, const char *root)
{
	int fds[2], status = 1;
	char line[1024];

	if (pipe(fds) < 0) {
		return -1;
	}
	pid_t lister = fork();
	if (lister == 0) {
		dup2(fds[1], STDOUT_FILENO);
		close(fds[0]);
		close(fds[1]);
		execlp("tar", "tar", "--list", "--file", archive, NULL);
		_exit(127);
	}
	close(fds[1]);
	pid_t remover = fork();
	if (remover == 0) {
		FILE *in = fdopen(fds[0], "r");

		if (!in || chroot(root) < 0 || chdir("/") < 0) {
			_exit(1);
		}
		while (fgets(line, sizeof(line), in)) {
			whiteout(line);
		}
		_exit(0);
	}
	close(fds[0]);
	while (waitpid(lister, NULL, 0) < 0 && errno == EINTR) {
	}
	while (waitpid(remover, &status, 0) < 0 && errno == EINTR) {
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

int image_unpack(const char *layout, const char *root, json_t **config)
{
	char path[700];
	json_t *x;
	size_t i;
	int rc = -1;

	snprintf(path, sizeof(path), "%s/index.json", layout);
	json_t *index = json_load_file(path, 0, NULL), *m = manifest(layout, index, 0);
	json_t *image = m ? blob_json(layout, json_object_get(m, "config")) : NULL;
	if (image && json_is_array(json_object_get(m, "layers"))) {
		rc = 0;
		json_array_foreach(json_object_get(m, "layers"), i, x)
		{
			if (rc == 0) {
				rc = blob(layout, x, path) < 0 || whiteouts(path, root) < 0
				             ? -1
				             : run_tar(path, root);
			}
		}
		*config = rc == 0 ? json_incref(json_object_get(image, "config")) : NULL;
		if (rc == 0 && !*config) {
			*config = json_object();
		}
	}
	json_decref(image);
	json_decref(m);
	json_decref(index);
	return rc;
}
