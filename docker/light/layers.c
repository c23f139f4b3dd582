/*
 * layers.c: the frozen layers that the host keeps.
 *
 * Covers: a layer lives until the worker has released it and no sandbox stands on it; freeing it is the sweeper's work.
 * Does not cover: what lies in a layer; the host never looks into one.
 */
#include "light.h"

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
  sweep(host.sweeper, "-", l->mount);
  free(l);
}

static int is_empty(int dir, const char *name) {
  char entries[512];
  int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), found = 0;
  long n;
  while (fd >= 0 && !found && (n = syscall(SYS_getdents64, fd, entries, sizeof entries)) > 0)
    for (long at = 0; at < n; at += *(unsigned short *)(void *)(entries + at + 16)) found |= entries[at + 19] != '.';
  if (fd >= 0) close(fd);
  return !found;
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

/* A file system that nobody writes any more becomes a layer. */
void layer_keep(int tmpfs, uint32_t id, uint32_t request) {
  struct layer *l = calloc(1, sizeof *l);
  struct statfs st = {0};
  char name[8];
  if (!l) abort();
  fstatfs(tmpfs, &st);
  l->id = id, l->mount = tmpfs, l->references = 1;
  l->bytes = tmpfs_bytes(tmpfs), l->inodes = st.f_files - st.f_ffree;
  for (int i = 0; i < MAX_MOUNTS; i++) {
    snprintf(name, sizeof name, "r%d", i);
    l->has[i] = !is_empty(tmpfs, name);
  }
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
