/*
 * overlay.c: stacks frozen layers and the folders of an image into one file system.
 *
 * Covers: the host mounts it, with attributes that a sandbox cannot set, of layers without a name, or where the kernel has to
 * have names (attached.c) of such that say nothing: no host path shows in the mount table of a sandbox. Does not cover: what
 * the layers hold; the host reads none of it.
 */
#include "light.h"

static int overlay_message(int fs, const char *what) {
  char text[300];
  ssize_t n = read(fs, text, sizeof text - 1);
  if (n <= 0) return failed(what);
  text[n] = 0;
  return failed_since(what, text);
}

/*
 * Clones of layers. Closing a detached mount dissolves it, so all are held until CREATE; and each close waits for an RCU
 * grace period (tens of ms on a busy machine), so none is closed here: the child takes them along (inside.c).
 */
static struct {
  int fds[MAX_MOUNTS * (MAX_DEPTH + MAX_LOWERS + 4)], n;
} spent;
void retire(const int *fds, int n) {
  for (int i = 0; i < n; i++) spent.fds[spent.n++] = fds[i];
}

struct stack {
  int fs, held[MAX_DEPTH + MAX_LOWERS + 4], n, userns; /* fs: -1 where layers are attached */
};

/* Below those that are in it. The stack keeps the descriptor. */
static int add(struct stack *s, int mount, const char *what) {
  s->held[s->n++] = mount;
  if (host.attached) return stage(mount, s->n - 1) < 0 ? failed(what) : 0;
  return sys_fsconfig(s->fs, FSCONFIG_FD, "lowerdir+", NULL, mount) < 0 ? overlay_message(s->fs, what) : 0;
}

static int add_lower(struct stack *s, int fd, int *idmappable) {
  int clone = sys_open_tree(fd, "", AT_EMPTY_PATH);
  if (clone < 0) return failed("clone a layer");
  if (host.root_mode && *idmappable != 0) {
    int r = sys_idmap(clone, s->userns, 1);
    if (r < 0 && errno != EINVAL) return retire(&clone, 1), failed("map ids of a layer");
    *idmappable = r == 0; /* EINVAL: the file system cannot (an overlay); its files then belong to nobody inside */
  }
  return add(s, clone, "add a layer");
}

int open_layer(const struct layer *l, int mount, int userns) {
  char name[8];
  snprintf(name, sizeof name, "r%d", mount);
  int fd = sys_open_tree(l->mount, name, 0);
  if (fd >= 0 && sys_idmap(fd, host.maps_tmpfs ? userns : -1, 1) < 0) {
    close(fd);
    return -1;
  }
  return fd;
}

static int add_layers(struct stack *s, struct layer *const *below, int depth, int mount) {
  for (int i = 0; i < depth; i++) {
    if (!below[i]->has[mount]) continue;
    int fd = open_layer(below[i], mount, s->userns);
    if (fd < 0) return failed("open a frozen layer");
    if (add(s, fd, "add a frozen layer") < 0) return -1;
  }
  return 0;
}

static int image_lowers(struct stack *s, struct image *im, int mount) {
  for (int i = 0; i < im->nlower[mount]; i++)
    if (add_lower(s, im->lower[mount][i], &im->idmappable[mount][i]) < 0) return -1;
  return 0;
}

static int stack_begin(struct stack *s, int userns) {
  *s = (struct stack){.fs = host.attached ? -1 : sys_fsopen("overlay"), .userns = userns};
  if (host.attached) return stage_open();
  if (s->fs < 0) return failed("open overlay");
  static const char *const off[] = {"metacopy", "index", "xino"};
  for (int i = 0; i < 3; i++) sys_fsconfig(s->fs, FSCONFIG_STRING, off[i], "off", 0);
  sys_fsconfig(s->fs, FSCONFIG_STRING, "redirect_dir", "nofollow", 0);
  if (!host.root_mode) sys_fsconfig(s->fs, 0 /* flag */, "userxattr", NULL, 0); /* only over our own layers */
  return 0;
}

static int stack_drop(struct stack *s) {
  retire(s->held, s->n);
  if (s->fs >= 0) close(s->fs);
  return -1;
}

static int mount_stack(struct stack *s, unsigned attributes) {
  if (sys_fsconfig(s->fs, FSCONFIG_CREATE, NULL, NULL, 0) < 0) return overlay_message(s->fs, "mount overlay");
  int mount = sys_fsmount(s->fs, attributes);
  return mount < 0 ? failed("attach overlay") : mount;
}

/* `upper`: number of its folders, or -1. */
static int stack_end(struct stack *s, int upper, uid_t owner, unsigned attributes) {
  /* The mounter's file-system id must lie in the mapped range, else the overlay silently becomes read-only. */
  if (owner) make_files_as(owner);
  int mount = host.attached ? stage_mount(s->n, upper, attributes) : mount_stack(s, attributes);
  if (owner) make_files_as(0);
  stack_drop(s);
  return mount;
}

static int set_upper(struct stack *s, int mapped, int mount) {
  static const char *const keys[] = {"upperdir", "workdir"};
  char name[8];
  for (int i = 0; i < 2; i++) {
    snprintf(name, sizeof name, "%c%d", "rw"[i], mount);
    int fd = openat(mapped, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = sys_fsconfig(s->fs, FSCONFIG_FD, keys[i], NULL, fd);
    if (r < 0) overlay_message(s->fs, "set upper folder");
    if (fd >= 0) close(fd);
    if (r < 0) return -1;
  }
  return 0;
}

/* One writable overlay of a sandbox: frozen layers above the image's folders, upper on the sandbox's own tmpfs. */
int overlay_writable(const struct create_request *q, int mount, int mapped, int userns, uid_t owner) {
  struct stack s;
  if (stack_begin(&s, userns) < 0) return -1;
  int bad = add_layers(&s, q->below, q->depth, mount) < 0 || image_lowers(&s, &images[q->image], mount) < 0 ||
            (!host.attached && set_upper(&s, mapped, mount) < 0);
  return bad ? stack_drop(&s) : stack_end(&s, mount, owner, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
}

int overlay_read_only(const struct create_request *q, struct layer *const *below, int depth, int userns, uid_t owner) {
  struct stack s;
  int empty = new_tmpfs(4096, 2, "755", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  if (empty < 0) return failed("make an empty layer");
  int begun = stack_begin(&s, userns) == 0;
  int bad = !begun || add_layers(&s, below, depth, q->mount) < 0 || image_lowers(&s, &images[q->image], q->mount) < 0;
  if (bad) retire(&empty, 1);
  if (!begun) return -1;
  if (!bad) bad = add(&s, empty, "add an empty layer") < 0; /* an overlay without upper needs two layers */
  return bad ? stack_drop(&s) : stack_end(&s, -1, owner, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

/* The child gets its mounts and as many spent clones as a message holds; the sweeper closes the others. */
int send_mounts(int channel, int *fds, int n) {
  int extra = 0;
  if (host.attached) { /* taken down already: closing them waits for nothing */
    stage_close();
    while (spent.n > 0) close(spent.fds[--spent.n]);
  }
  while (n > 0 && extra < spent.n && n + extra < MAX_SENT) fds[n + extra] = spent.fds[extra], extra++;
  int sent = n > 0 ? send_fds(channel, fds, n + extra) : -1;
  for (int i = extra; i < spent.n; i++) sweep(host.sweeper, "-", spent.fds[i]);
  spent.n = 0;
  return n > 0 && sent < 0 ? failed("send mounts") : n;
}
