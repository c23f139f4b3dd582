/*
 * host.c: the loop of the host process. It serves one worker over stdin and stdout and ends with it.
 *
 * Covers: end of file on the control pipe (a worker that ended or was killed) ends every sandbox; a sandbox that ends by
 * itself is reported with how; frozen layers live until the worker releases them and no sandbox stands on them.
 * Does not cover: what the worker asks for; it is trusted.
 *
 * Requests (frame id = the worker's number, echoed): 'I' image, 'G' go, 'C' create, 'E' exporter, 'D' destroy,
 * 'F' freeze, 'R' release a layer, 'S' counts. Answers: 'o' with a payload or 'e' with a text. Event: 'x' with id 0.
 */
#include "light.h"

enum { ON_CONTROL = 1, ON_PID, ON_CHANNEL, ON_OUT };

static void watch(int fd, uint32_t kind, uint32_t id, uint32_t events) {
  struct epoll_event e = {.events = events, .data.u64 = (uint64_t)kind << 32 | id};
  epoll_ctl(host.epoll, EPOLL_CTL_ADD, fd, &e);
}
static void reply(uint32_t id, char type, const char *text) { frame_put(&host.out, id, (uint8_t)type, text, strlen(text)); }

static struct sandbox *find(uint32_t id) {
  for (struct sandbox *s = host.sandboxes; s; s = s->next) if (s->id == id) return s;
  return NULL;
}
static struct layer *find_layer(uint32_t id) {
  for (struct layer *l = host.layers; l; l = l->next) if (l->id == id) return l;
  return NULL;
}

static void unreference(struct layer *l) {
  if (--l->references > 0) return;
  for (struct layer **p = &host.layers; *p; p = &(*p)->next)
    if (*p == l) {
      *p = l->next;
      break;
    }
  sweep(host.sweeper, "-", l->mount);
  free(l);
}

static uint32_t oom_kills(const char *name) {
  char text[512] = {0};
  int fd = cgroups_oom_file(name);
  ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  const char *p = n > 0 ? strstr(text, "oom_kill ") : NULL;
  return p ? (uint32_t)atol(p + 9) : 0;
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

/* The upper of a sandbox that is gone becomes a layer. */
static void keep_layer(struct sandbox *s, uint32_t id) {
  struct layer *l = calloc(1, sizeof *l);
  struct statfs st = {0};
  char name[8];
  if (!l) abort();
  fstatfs(s->tmpfs, &st);
  l->id = id, l->mount = s->tmpfs, l->references = 1;
  l->bytes = (uint64_t)(st.f_blocks - st.f_bfree) * (uint64_t)st.f_bsize, l->inodes = st.f_files - st.f_ffree;
  for (int i = 0; i < images[s->image].nmounts; i++) {
    snprintf(name, sizeof name, "r%d", i);
    l->has[i] = !is_empty(s->tmpfs, name);
  }
  s->tmpfs = -1;
  l->next = host.layers;
  host.layers = l;
  size_t mark = frame_begin(&host.out, s->ending_id, 'o');
  put_u64(&host.out, l->bytes);
  put_u64(&host.out, l->inodes);
  frame_end(&host.out, mark);
}

static void forget(struct sandbox *s) {
  char name[16];
  for (struct sandbox **p = &host.sandboxes; *p; p = &(*p)->next)
    if (*p == s) {
      *p = s->next;
      break;
    }
  if (s->pidfd >= 0) close(s->pidfd);
  if (s->channel >= 0) close(s->channel);
  snprintf(name, sizeof name, "%u", s->id);
  unlinkat(host.run_dir, name, 0);
  for (int i = 0; i < s->depth; i++) unreference(s->below[i]);
  sweep(host.sweeper, s->name, s->tmpfs);
  free(s);
}

/* What was asked for is done once PID 1, and with it every process of the sandbox, is gone. */
static void conclude(struct sandbox *s) {
  if (s->ending == 'F') keep_layer(s, s->new_layer);
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
    epoll_ctl(host.epoll, EPOLL_CTL_DEL, s->pidfd, NULL);
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
  close(s->channel);
  s->channel = -1;
}

static int get_layers(struct reader *r, struct layer **into, int *depth) {
  uint32_t n = get_u32(r);
  *depth = 0;
  if (n > MAX_DEPTH) return -1;
  for (uint32_t i = 0; i < n; i++) {
    struct layer *l = find_layer(get_u32(r));
    if (!l) return -1;
    into[(*depth)++] = l;
  }
  return 0;
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
  int bad = get_layers(r, q.below, &q.depth) < 0 || (kind == KIND_EXPORT && get_layers(r, q.old, &q.old_depth) < 0);
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
  if (!s || r->bad || s->ending) return reply(id, how == 'D' ? 'o' : 'e', how == 'D' ? "" : "the sandbox is gone");
  s->ending = how;
  s->ending_id = id;
  s->new_layer = layer;
  if (s->dead) return conclude(s);
  kill(s->pid, SIGKILL); /* PID 1: the kernel ends every process of the namespace with it */
}

static void release(uint32_t id, struct reader *r) {
  struct layer *l = find_layer(get_u32(r));
  if (l) unreference(l);
  reply(id, 'o', "");
}

static void counts(uint32_t id) {
  uint32_t sandboxes = 0, layers = 0;
  uint64_t bytes = 0;
  for (struct sandbox *s = host.sandboxes; s; s = s->next) sandboxes++;
  for (struct layer *l = host.layers; l; l = l->next) layers++, bytes += l->bytes;
  size_t mark = frame_begin(&host.out, id, 'o');
  put_u32(&host.out, sandboxes);
  put_u32(&host.out, layers);
  put_u64(&host.out, bytes);
  frame_end(&host.out, mark);
}

static void serve(const struct frame *f) {
  struct reader r = {f->payload, f->payload + f->length, 0};
  switch (f->type) {
    case 'C': return create(f->id, &r, KIND_SANDBOX);
    case 'E': return create(f->id, &r, KIND_EXPORT);
    case 'D': case 'F': return finish(f->id, &r, f->type);
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
  if (host.sweeper >= 0) shutdown(host.sweeper, SHUT_WR);
  while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {}
  _exit(0);
}

static void on_event(uint64_t data) {
  uint32_t kind = (uint32_t)(data >> 32);
  struct sandbox *s = kind == ON_PID || kind == ON_CHANNEL ? find((uint32_t)data) : NULL;
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
