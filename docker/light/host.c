/*
 * host.c: the loop of the host process. It serves one worker over stdin and stdout and ends with it.
 *
 * Covers: end of file on the control pipe (a worker that ended or was killed) ends every sandbox; a sandbox that ends by
 * itself is reported with how; frozen layers live until the worker releases them and no sandbox stands on them.
 * Does not cover: what the worker asks for; it is trusted.
 *
 * Requests (frame id = the worker's number, echoed): 'I' image, 'G' go, 'C' create, 'E' exporter, 'D' destroy,
 * 'F' freeze, 'M' merge layers, 'R' release a layer, 'S' counts. Answers: 'o' with a payload or 'e' with a text. Event: 'x' with id 0.
 */
#include "light.h"

enum { ON_CONTROL = 1, ON_PID, ON_CHANNEL, ON_MERGE };

struct merging {
  uint32_t id, layer; /* of the request; of the layer that it makes */
  int pid, pidfd, tmpfs;
  struct merging *next;
};
static struct merging *mergings;

static void watch(int fd, uint32_t kind, uint32_t id, uint32_t events) {
  struct epoll_event e = {.events = events, .data.u64 = (uint64_t)kind << 32 | id};
  epoll_ctl(host.epoll, EPOLL_CTL_ADD, fd, &e);
}
/* Closing alone does not end a watch: children that are not an agent yet have a copy, and the host would spin until then. */
static void unwatch(int *fd) {
  if (*fd < 0) return;
  epoll_ctl(host.epoll, EPOLL_CTL_DEL, *fd, NULL);
  close(*fd);
  *fd = -1;
}
static void reply(uint32_t id, char type, const char *text) { frame_put(&host.out, id, (uint8_t)type, text, strlen(text)); }

static struct sandbox *find(uint32_t id) {
  for (struct sandbox *s = host.sandboxes; s; s = s->next) if (s->id == id) return s;
  return NULL;
}
static uint32_t oom_kills(const char *name) {
  char text[512] = {0};
  int fd = cgroups_oom_file(name);
  ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  const char *p = n > 0 ? strstr(text, "oom_kill ") : NULL;
  return p ? (uint32_t)atol(p + 9) : 0;
}

static void forget(struct sandbox *s) {
  char name[16];
  for (struct sandbox **p = &host.sandboxes; *p; p = &(*p)->next)
    if (*p == s) {
      *p = s->next;
      break;
    }
  unwatch(&s->pidfd);
  unwatch(&s->channel);
  snprintf(name, sizeof name, "%u", s->id);
  unlinkat(host.run_dir, name, 0);
  const char *later = s->ending == 'F' ? "+" : "";
  char no_group[4], group[sizeof s->name + 1];
  snprintf(no_group, sizeof no_group, "%s-", later);
  snprintf(group, sizeof group, "%s%s", later, s->name);
  for (int i = 0; i < s->nmounts; i++) sweep(host.sweeper, no_group, s->mounts[i]);
  for (int i = 0; i < s->depth; i++) layer_unreference(s->below[i]);
  sweep_mount(group, s->tmpfs);
  free(s);
}

/* What was asked for is done once PID 1, and with it every process of the sandbox, is gone. */
static void conclude(struct sandbox *s) {
  if (s->ending == 'F') layer_keep(s->tmpfs, s->nmounts > 0, s->new_layer, s->ending_id), s->tmpfs = -1;
  else reply(s->ending_id, 'o', "");
  forget(s);
}

static void ended(struct sandbox *s) {
  int status = 0;
  waitpid(s->pid, &status, 0);
  if (s->ending) {
    conclude(s);
  } else {
    size_t mark = frame_begin(&host.out, 0, 'x');
    put_u32(&host.out, s->id);
    put_u32(&host.out, (uint32_t)status);
    put_u32(&host.out, oom_kills(s->name));
    put_text(&host.out, "", 0);
    frame_end(&host.out, mark);
    unwatch(&s->pidfd);
    s->dead = 1;
  }
}

/* A child that could not become an agent says why on its channel; end of file means that it has become one. */
static void from_channel(struct sandbox *s) {
  char text[300];
  ssize_t n = recv(s->channel, text, sizeof text, MSG_DONTWAIT);
  if (n < 0) return;
  if (n > 0) {
    size_t mark = frame_begin(&host.out, 0, 'x');
    put_u32(&host.out, s->id);
    put_u32(&host.out, 0xffffffffu);
    put_u32(&host.out, 0);
    put_text(&host.out, text, (size_t)n);
    frame_end(&host.out, mark);
  }
  unwatch(&s->channel);
}

static void create(uint32_t id, struct reader *r, int kind) {
  struct create_request q = {.kind = kind};
  struct sandbox *s = calloc(1, sizeof *s);
  if (!s) return reply(id, 'e', "the host has no memory");
  q.id = get_u32(r);
  q.image = (int)get_u32(r);
  q.mount = (int)get_u32(r);
  q.limits.memory = get_u64(r);
  q.limits.disk = get_u64(r);
  q.limits.inodes = get_u64(r);
  q.limits.processes = get_u32(r);
  q.limits.milli_cpus = get_u32(r);
  int bad = layers_get(r, q.below, &q.depth) < 0 || (kind == KIND_EXPORT && layers_get(r, q.old, &q.old_depth) < 0);
  if (bad || r->bad || q.image >= MAX_IMAGES || !images[q.image].used || q.mount >= images[q.image].nmounts || find(q.id)) {
    free(s);
    return reply(id, 'e', "the request names an image, layer or sandbox that is not there");
  }
  int made = sandbox_create(&q, s);
  s->next = host.sandboxes;
  host.sandboxes = s;
  if (made < 0) {
    reply(id, 'e', create_error());
    if (s->pid > 0) {
      kill(s->pid, SIGKILL);
      waitpid(s->pid, NULL, 0);
    }
    return forget(s);
  }
  watch(s->pidfd, ON_PID, s->id, EPOLLIN);
  watch(s->channel, ON_CHANNEL, s->id, EPOLLIN);
  reply(id, 'o', "");
}

static void finish(uint32_t id, struct reader *r, int how) {
  struct sandbox *s = find(get_u32(r));
  uint32_t layer = how == 'F' ? get_u32(r) : 0;
  uint64_t budget = how == 'F' ? get_u64(r) : 0;
  if (!s || r->bad || s->ending) return reply(id, how == 'D' ? 'o' : 'e', how == 'D' ? "" : "the sandbox is gone");
  if (how == 'F' && layers_bytes() + tmpfs_bytes(s->tmpfs) > budget) return reply(id, 'o', "\2");
  s->ending = how;
  s->ending_id = id;
  s->new_layer = layer;
  if (s->dead) return conclude(s);
  kill(s->pid, SIGKILL); /* PID 1: the kernel ends every process of the namespace with it */
}

/* u32 new layer, list of layers, topmost first */
static void merge(uint32_t id, struct reader *r) {
  struct layer *layers[MAX_DEPTH];
  struct merging *m = calloc(1, sizeof *m);
  int n = 0;
  if (!m) return reply(id, 'e', "the host has no memory");
  *m = (struct merging){.id = id, .layer = get_u32(r), .next = mergings};
  int bad = layers_get(r, layers, &n) < 0 || r->bad || n < 2;
  if (!bad) m->pid = compact_start(layers, n, &m->tmpfs);
  if (bad || m->pid < 0) {
    reply(id, 'e', bad ? "the request names a layer that is not there" : strerror(errno));
    return free(m);
  }
  m->pidfd = (int)syscall(SYS_pidfd_open, m->pid, 0);
  mergings = m;
  watch(m->pidfd, ON_MERGE, id, EPOLLIN);
}

static void merged(uint32_t id) {
  int status = 0;
  struct merging **p = &mergings;
  while (*p && (*p)->id != id) p = &(*p)->next;
  struct merging *m = *p;
  if (!m) return;
  *p = m->next;
  waitpid(m->pid, &status, 0);
  unwatch(&m->pidfd);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
    layer_keep(m->tmpfs, 0, m->layer, m->id);
  } else {
    reply(m->id, 'e', WIFEXITED(status) ? strerror(WEXITSTATUS(status)) : "the merge was killed");
    sweep_mount("-", m->tmpfs);
  }
  free(m);
}

static void release(uint32_t id, struct reader *r) {
  struct layer *l = layer_find(get_u32(r));
  if (l) layer_unreference(l);
  reply(id, 'o', "");
}

static void counts(uint32_t id) {
  uint32_t sandboxes = 0, layers = 0;
  for (struct sandbox *s = host.sandboxes; s; s = s->next) sandboxes++;
  for (struct layer *l = host.layers; l; l = l->next) layers++;
  size_t mark = frame_begin(&host.out, id, 'o');
  put_u32(&host.out, sandboxes);
  put_u32(&host.out, layers);
  put_u64(&host.out, layers_bytes());
  frame_end(&host.out, mark);
}

static void serve(const struct frame *f) {
  struct reader r = {f->payload, f->payload + f->length, 0};
  switch (f->type) {
    case 'C': return create(f->id, &r, KIND_SANDBOX);
    case 'E': return create(f->id, &r, KIND_EXPORT);
    case 'D': case 'F': return finish(f->id, &r, f->type);
    case 'M': return merge(f->id, &r);
    case 'R': return release(f->id, &r);
    case 'S': return counts(f->id);
    default: return reply(f->id, 'e', "unknown request");
  }
}

/* Before 'G': images, read blocking. Answers 0 when the host may go on. */
static int prepare(const char *run, const char *agent) {
  int started = host_start(run, agent);
  for (;;) {
    struct frame f;
    int got = frame_take(&host.in, &f);
    if (got < 0) return -1;
    if (got == 0) {
      if (buffer_fill(&host.in, 0) <= 0) return -1;
      continue;
    }
    struct reader r = {f.payload, f.payload + f.length, 0};
    int bad = started < 0;
    if (bad) reply(f.id, 'e', create_error());
    else if (f.type == 'I' && (bad = image_define(&r) < 0)) reply(f.id, 'e', image_error());
    else if (f.type == 'G' && (bad = host_enter() < 0)) reply(f.id, 'e', create_error());
    else if (f.type == 'G') {
      size_t mark = frame_begin(&host.out, f.id, 'o');
      put_u32(&host.out, (uint32_t)host.root_mode);
      put_u32(&host.out, groups.mask);
      put_u32(&host.out, (uint32_t)groups.v2_controllers);
      put_u32(&host.out, (uint32_t)groups.ncpus);
      put_u32(&host.out, (uint32_t)host.maps_tmpfs);
      frame_end(&host.out, mark);
    } else reply(f.id, 'o', "");
    buffer_flush(&host.out, 1);
    if (bad) return -1;
    if (f.type == 'G') return 0;
  }
}

static void shut_down(void) {
  for (struct sandbox *s = host.sandboxes; s; s = s->next) if (!s->dead) kill(s->pid, SIGKILL);
  for (struct sandbox *s = host.sandboxes; s; s = s->next) if (!s->dead) waitpid(s->pid, NULL, 0);
  for (struct merging *m = mergings; m; m = m->next) kill(m->pid, SIGKILL);
  if (host.sweeper >= 0) shutdown(host.sweeper, SHUT_WR);
  while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {}
  _exit(0);
}

static void on_event(uint64_t data) {
  uint32_t kind = (uint32_t)(data >> 32);
  struct sandbox *s = kind == ON_PID || kind == ON_CHANNEL ? find((uint32_t)data) : NULL;
  if (kind == ON_MERGE) merged((uint32_t)data);
  if (kind == ON_PID && s) ended(s);
  if (kind == ON_CHANNEL && s && s->channel >= 0) from_channel(s);
  if (kind != ON_CONTROL) return;
  int got = buffer_fill(&host.in, 0);
  if (got == 0 || (got < 0 && errno != EAGAIN)) shut_down();
  struct frame f;
  while ((got = frame_take(&host.in, &f)) > 0) {
    serve(&f);
    if (buffer_flush(&host.out, 1) < 0) shut_down(); /* answer one before making the next */
  }
  if (got < 0) shut_down();
}

int host_main(int argc, char **argv) {
  if (argc != 4) return 64;
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  if (prepare(argv[2], argv[3]) < 0) shut_down();
  fcntl(0, F_SETFL, O_NONBLOCK);
  host.epoll = epoll_create1(EPOLL_CLOEXEC);
  watch(0, ON_CONTROL, 0, EPOLLIN);
  for (;;) {
    struct epoll_event events[64];
    int n = epoll_wait(host.epoll, events, 64, -1);
    for (int i = 0; i < n; i++) on_event(events[i].data.u64);
    if (buffer_flush(&host.out, 1) < 0) shut_down();
  }
}
