/*
 * layers.c: the frozen layers that the host keeps.
 *
 * Covers: a layer lives until the worker has released it and no sandbox stands on it; freeing it is the sweeper's work.
 * Does not cover: what lies in a layer; the host never looks into one.
 */
#include "light.h"

enum { MOST_MOVED = 1000 };

struct layer *layer_find(uint32_t id) {
  for (struct layer *l = host.layers; l; l = l->next) if (l->id == id) return l;
  return NULL;
}

void layer_unreference(struct layer *l) {
  if (--l->references > 0) return;
  for (struct layer **p = &host.layers; *p; p = &(*p)->next)
    if (*p == l) {
      *p = l->next;
      break;
    }
  sweep_mount("-", l->mount);
  free(l);
}

/* Calls `each` with every name of a folder until it answers no; answers how many it was called with. */
static int each_name(int dir, int (*each)(int dir, const char *name, int into), int into) {
  char entries[4096];
  int count = 0, on = 1;
  long n;
  lseek(dir, 0, SEEK_SET);
  while (on && (n = syscall(SYS_getdents64, dir, entries, sizeof entries)) > 0)
    for (long at = 0; on && at < n; at += *(unsigned short *)(void *)(entries + at + 16)) {
      const char *name = entries + at + 19;
      if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) count++, on = each(dir, name, into);
    }
  return count;
}
static int stop(int dir, const char *name, int into) { return (void)dir, (void)name, (void)into, 0; }
static int more(int dir, const char *name, int into) { return (void)dir, (void)name, (void)into, 1; }
static int move(int dir, const char *name, int into) { return renameat(dir, name, into, name), 1; }

/*
 * The overlay that wrote a folder is taken down by the sweeper: with 20,000 files that takes 50 ms, and nobody can reach it
 * any more. Until then the kernel counts that one folder as its own, so what lies in it moves to a new one. One with many
 * entries (a root has few) or no room for a folder stays as it is: the kernel accepts it and says so in its log.
 */
static void leave_overlay(int tmpfs, int from, const char *name) {
  char fresh[8];
  struct stat st;
  snprintf(fresh, sizeof fresh, "l%s", name + 1);
  if (each_name(from, more, -1) > MOST_MOVED || fstat(from, &st) < 0 || mkdirat(tmpfs, fresh, 0700) < 0) return;
  int into = openat(tmpfs, fresh, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (into >= 0 && fchown(into, st.st_uid, st.st_gid) == 0 && fchmod(into, st.st_mode & 07777) == 0) {
    for (int tries = 0; tries < 3 && each_name(from, move, into) > 0; tries++) {}
    const struct timespec times[2] = {st.st_atim, st.st_mtim};
    futimens(into, times);
    /* Half a layer would be wrong files for somebody: better no host, which is a typed loss. */
    if (each_name(from, stop, -1) > 0 || sys_exchange(tmpfs, fresh, name) < 0) abort();
  }
  if (into >= 0) close(into);
}

uint64_t tmpfs_bytes(int tmpfs) {
  struct statfs st = {0};
  return fstatfs(tmpfs, &st) < 0 ? 0 : (uint64_t)(st.f_blocks - st.f_bfree) * (uint64_t)st.f_bsize;
}

/* What all frozen layers hold: memory that no sandbox's group limits any more. */
uint64_t layers_bytes(void) {
  uint64_t bytes = 0;
  for (struct layer *l = host.layers; l; l = l->next) bytes += l->bytes;
  return bytes;
}

/* A file system that nobody writes any more becomes a layer. `written`: by an overlay that may still be there. */
void layer_keep(int tmpfs, int written, uint32_t id, uint32_t request) {
  struct layer *l = calloc(1, sizeof *l);
  struct statfs st = {0};
  char name[8];
  if (!l) abort();
  l->id = id, l->mount = tmpfs, l->references = 1;
  for (int i = 0; i < MAX_MOUNTS; i++) {
    snprintf(name, sizeof name, "r%d", i);
    int fd = openat(tmpfs, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    l->has[i] = fd >= 0 && each_name(fd, stop, -1) > 0;
    if (l->has[i] && written) leave_overlay(tmpfs, fd, name);
    if (fd >= 0) close(fd);
  }
  fstatfs(tmpfs, &st);
  l->bytes = tmpfs_bytes(tmpfs), l->inodes = st.f_files - st.f_ffree;
  l->next = host.layers;
  host.layers = l;
  size_t mark = frame_begin(&host.out, request, 'o');
  put_u8(&host.out, 1);
  put_u64(&host.out, l->bytes);
  put_u64(&host.out, l->inodes);
  frame_end(&host.out, mark);
}

int layers_get(struct reader *r, struct layer **into, int *depth) {
  uint32_t n = get_u32(r);
  *depth = 0;
  if (n > MAX_DEPTH) return -1;
  for (uint32_t i = 0; i < n; i++) {
    struct layer *l = layer_find(get_u32(r));
    if (!l) return -1;
    into[(*depth)++] = l;
  }
  return 0;
}
