/*
 * light.h: what the files of the light sandbox share.
 *
 * One static binary plays several roles:
 *   host     outside, one per worker process: makes and ends sandboxes, keeps frozen layers. Trusted.
 *   sweeper  outside, child of the host: frees what is slow to free and cleans up after a killed host. Trusted.
 *   compact  outside, child of the host: copies frozen layers into one, and ends. Trusted; what it reads is hostile.
 *   agent    inside, PID 1 of a sandbox: runs commands and file operations for the worker. Reads only what the worker
 *            sends; everything that it reads from files and pipes of the sandbox is hostile.
 *   reap     outside, one shot: removes what dead hosts left.
 */
#ifndef POLYGYM_LIGHT_H
#define POLYGYM_LIGHT_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
/* Names built by snprintf here are short and ours; a cut one fails to open and is reported. */
#pragma GCC diagnostic ignored "-Wformat-truncation"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <linux/mount.h>
#include <linux/sched.h>

#define MAX_MOUNTS 8         /* overlay mounts of one image: the root and tool prefixes */
#define MAX_LOWERS 48        /* folders of an image below one mount */
#define MAX_IMAGES 16
#define MAX_DEPTH 128        /* frozen layers below one sandbox: a create over so many costs 9 ms */
#define MAX_SENT 160         /* descriptors in one message; the kernel allows 253 */
#define RANGE_LENGTH 65536u  /* ids of one sandbox */
#define AGENT_ID 65532u      /* the agent's id inside; no command may take it (seccomp.c) */
#define MAX_REQUEST (4u << 20) /* bytes of one frame from the worker: above the kernel's own argument limit of 2 MiB */
#define CHUNK 65536u
#ifndef AS_LINUX /* 6014 is 6.14: the tests build a host that takes this kernel for an older one */
#define AS_LINUX 1000000
#endif
enum { FSCONFIG_STRING = 1, FSCONFIG_FD = 5, FSCONFIG_CREATE = 6 }; /* of newer headers: commands of fsconfig(2) */

/* ---- wire.c: frames {u32 length, u32 id, u8 type, payload}, all little-endian ---- */
#define FRAME_HEAD 9u
struct buffer {
  uint8_t *data;
  size_t from, to, room; /* bytes data[from..to) are waiting */
};
struct frame {
  uint32_t length, id;
  uint8_t type;
  const uint8_t *payload;
};
struct reader {
  const uint8_t *at, *end;
  int bad; /* set when a read went past the end; all later reads answer 0 */
};
int buffer_reserve(struct buffer *b, size_t more);
int buffer_add(struct buffer *b, const void *data, size_t length);
void buffer_free(struct buffer *b);
size_t frame_begin(struct buffer *b, uint32_t id, uint8_t type);
void frame_end(struct buffer *b, size_t mark);
int frame_put(struct buffer *b, uint32_t id, uint8_t type, const void *data, size_t length);
void put_u8(struct buffer *b, uint8_t v);
void put_u32(struct buffer *b, uint32_t v);
void put_u64(struct buffer *b, uint64_t v);
void put_text(struct buffer *b, const void *data, size_t length);
uint8_t get_u8(struct reader *r);
uint32_t get_u32(struct reader *r);
uint64_t get_u64(struct reader *r);
const uint8_t *get_bytes(struct reader *r, size_t length);
int get_text(struct reader *r, char *into, size_t room);
/* Takes one whole frame from the buffer: 1 = taken, 0 = more bytes are needed, -1 = the peer broke the protocol. */
int frame_take(struct buffer *b, struct frame *f);
/* Reads once into the buffer: 1 = got bytes, 0 = end of file, -1 = error (EAGAIN included). */
int buffer_fill(struct buffer *b, int fd);
/* Writes what it can: 0 = all gone, 1 = the rest must wait, -1 = the peer is gone. */
int buffer_flush(struct buffer *b, int fd);
int write_all(int fd, const void *data, size_t length);

/* ---- system.c: calls that the C library has no wrapper for ---- */
int sys_fsopen(const char *type);
int sys_fsconfig(int fd, unsigned command, const char *key, const void *value, int aux);
int sys_fsmount(int fd, unsigned attributes);
int sys_open_tree(int dir, const char *path, unsigned flags);
int sys_move_mount(int fd, const char *to);
int sys_idmap(int mount, int userns, int read_only);
int sys_exchange(int dir, const char *one, const char *other);
int sys_set_ids(uid_t effective_user, gid_t effective_group);
void make_files_as(uid_t id);
int raise_capabilities(void);
int new_tmpfs(uint64_t bytes, uint64_t inodes, const char *mode, unsigned attributes);
int write_at(int dir, const char *path, const char *text);
long read_long_at(int dir, const char *path);
double now_ms(void);

/* ---- cgroups.c ---- */
enum { CG_MEMORY, CG_PIDS, CG_CPU, CG_CPUSET, CG_UNIFIED, CG_KINDS };
struct limits {
  uint64_t memory, disk, inodes;
  uint32_t processes, milli_cpus;
};
struct cgroups {
  int own[CG_KINDS];   /* folder <mount>/polygym/<owner> per hierarchy, -1 = absent */
  int v2_controllers;  /* the unified hierarchy carries the controllers */
  unsigned mask;       /* bits of CG_*: limits that can be enforced */
  int cpus[256], ncpus, next_cpu;
};
extern struct cgroups groups;
void cpus_of_process(void); /* those that this process may use are what sandboxes get */
int cgroups_start(const char *owner);
int cgroups_create(const char *name, const struct limits *l, int attach[CG_KINDS], int *nattach, int *into);
int cgroups_remove(const char *name);
void cgroups_kill(const char *name);
void cgroups_force_empty(const char *name);
void cgroups_stop(const char *owner);
int cgroups_oom_file(const char *name);
int cgroups_pressure_file(const char *name);
int cgroups_quota_file(const char *name);
int cgroups_reap(const char *skip);
void owner_name(char *into, size_t room);

/* ---- image.c ---- */
struct image {
  int used;
  int nmounts;
  char target[MAX_MOUNTS][256]; /* [0] is "" (the root) */
  int lower[MAX_MOUNTS][MAX_LOWERS], nlower[MAX_MOUNTS];
  int idmappable[MAX_MOUNTS][MAX_LOWERS]; /* -1 unknown, 0 no, 1 yes */
};
extern struct image images[MAX_IMAGES];
int image_define(struct reader *r);
const char *image_error(void);

/* ---- inside.c: a child between clone and the agent ---- */
enum { KIND_SANDBOX = 1, KIND_EXPORT = 2 };
#define COUNTERS 3 /* of its groups, open for the agent: out-of-memory kills, processor pressure, processor quota; -1 = none */
struct plan {
  int kind, root_mode, listen_fd, counters[COUNTERS], agent_fd;
  int attach[CG_KINDS], nattach;
  int nmounts;
  char target[MAX_MOUNTS][256];
  int nlayers;         /* exporter: raw layers to show */
  int ndevices;        /* user mode: device nodes that follow as mounts */
  uint64_t shm;
  struct limits limits;
  int memory_by_rlimit, processes_by_rlimit, cpu;
};
#define DEVICES 6
extern const char *const device_names[DEVICES];
void choose_masks(void);
void inside(const struct plan *p, int channel) __attribute__((noreturn));
int send_fds(int socket, const int *fds, int n);
int receive_fds(int socket, int *fds, int most);

/* ---- create.c ---- */
struct layer {
  uint32_t id;
  int mount, references, has[MAX_MOUNTS];
  uint64_t bytes, inodes;
  struct layer *next;
};
struct sandbox {
  uint32_t id, serial;
  int kind, pid, pidfd, tmpfs, channel, image;
  int mounts[MAX_MOUNTS], nmounts; /* its overlays: held, so that its end does not wait for theirs (layers.c) */
  int depth;
  struct layer *below[MAX_DEPTH]; /* topmost first */
  char name[24];
  int ending; /* 0 no, 'D' destroy, 'F' freeze: what was asked */
  int dead;   /* ended by itself; its files wait for destroy or freeze */
  uint32_t ending_id, new_layer;
  struct sandbox *next;
};
struct create_request {
  uint32_t id;
  int kind, image;
  struct limits limits;
  int depth, old_depth, mount; /* exporter: `below` is the new state, `old` the base, `mount` the image mount to show */
  struct layer *below[MAX_DEPTH], *old[MAX_DEPTH];
};
struct host {
  const char *run_path;
  int root_mode, run_dir, agent_fd, proc, devices[DEVICES], epoll;
  int attached, maps_tmpfs; /* of this kernel: layers have to be mounted (attached.c); ids of a tmpfs are mapped */
  uint32_t range_base, range_count, serial;
  struct buffer in, out;
  struct sandbox *sandboxes;
  struct layer *layers;
  int sweeper;
};
extern struct host host;
int sandbox_create(const struct create_request *q, struct sandbox *s);
int write_maps(int pid, uint32_t base);
int unmapped_files(void); /* a file of a tmpfs has the id that it was made with, in every sandbox */
const char *create_error(void);
int failed(const char *what);
int failed_since(const char *what, const char *said);

/* ---- overlay.c ---- */
int overlay_writable(const struct create_request *q, int mount, int mapped, int userns, uid_t owner);
int overlay_read_only(const struct create_request *q, struct layer *const *below, int depth, int userns, uid_t owner);
int open_layer(const struct layer *l, int mount, int userns);
void retire(const int *fds, int n);
int send_mounts(int channel, int *fds, int n);

/* ---- attached.c: for Linux before 6.15; elsewhere keep_mount(), let_go() and the two ways of children do nothing ---- */
int stacks_detached_layers(void);
int tmpfs_maps_ids(void);
int attached_enter(void);
int keep_mount(int mount);
void let_go(int mount);
int leave_for_bare(void);
int return_from_bare(void);
int stage_open(void);
int stage(int mount, int place);
int stage_upper(int mapped);
int stage_mount(int layers, int upper, unsigned attributes);
void stage_close(void);

/* ---- layers.c, compact.c ---- */
struct layer *layer_find(uint32_t id);
uint64_t layers_bytes(void);
uint64_t tmpfs_bytes(int tmpfs);
void layer_unreference(struct layer *l);
void layer_keep(int tmpfs, int written, uint32_t id, uint32_t request);
int layers_get(struct reader *r, struct layer **into, int *depth);
int compact_start(struct layer *const *layers, int n, int *tmpfs);

/* ---- start.c, sweeper.c ---- */
int host_start(const char *run, const char *agent);
int host_enter(void);
int sweeper_start(const char *owner);
int sweep(int sweeper, const char *name, int fd);
int sweep_mount(const char *name, int fd);

/* ---- agent ---- */
int install_seccomp(void);
int host_main(int argc, char **argv);
int agent_main(int argc, char **argv);
int container_main(int argc, char **argv);
#endif
