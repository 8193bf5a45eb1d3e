/* The ceiling: a C epoll server that coalesces as Tidewire's hub does (idle: flush at once; busy: once per tick) and
 * shares one buffer among subscribers with the same metrics. It subscribes to all of bench/ on Redis and serves SSE.
 *
 *     ceiling PORT REDIS_PORT [TICK_MS]
 *
 * No ids to resume from, no replay, no deadlines: what the fan-out alone costs when nothing else is done.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { METRICS = 16384, BUFFER = 1 << 20 };

struct group { /* subscribers with the same request path share their bytes */
    char *path;
    char *pending;
    size_t size, room;
    struct client **members;
    int count, room_members;
    bool dirty;
};

struct client {
    int fd, index;
    struct group *group;
    char *backlog;
    size_t size, sent;
    char request[2048];
    int request_size;
};

static struct group **groups, **dirty;
static int group_count, dirty_count;
static struct { struct group **list; int count; } wanting[METRICS];
static int epoll, redis;
static double last_flush, tick_s = 0.010;
static uint64_t next_id = 1000000000;

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void leave(struct client *c) {
    if (c->group) {
        struct group *g = c->group;
        g->members[c->index] = g->members[--g->count];
        g->members[c->index]->index = c->index;
    }
    close(c->fd);
    free(c->backlog);
    free(c);
}

static void want_write(struct client *c, bool on) {
    struct epoll_event e = {.events = EPOLLIN | (on ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &e);
}

static void put(struct client *c, const char *data, size_t size) {
    if (!c->backlog) {
        ssize_t sent = send(c->fd, data, size, MSG_NOSIGNAL);
        if (sent == (ssize_t)size) return;
        if (sent < 0) sent = 0; /* an error shows as EPOLLHUP */
        data += sent;
        size -= (size_t)sent;
        want_write(c, true);
        c->size = c->sent = 0;
    }
    c->backlog = realloc(c->backlog, c->size + size);
    memcpy(c->backlog + c->size, data, size);
    c->size += size;
}

static void writable(struct client *c) {
    if (!c->backlog) return;
    ssize_t sent = send(c->fd, c->backlog + c->sent, c->size - c->sent, MSG_NOSIGNAL);
    if (sent > 0) c->sent += (size_t)sent;
    if (c->sent < c->size) return;
    free(c->backlog);
    c->backlog = NULL;
    want_write(c, false);
}

static struct group *group_of(const char *path) {
    for (int i = 0; i < group_count; i++)
        if (!strcmp(groups[i]->path, path)) return groups[i];
    struct group *g = calloc(1, sizeof *g);
    g->path = strdup(path);
    groups = realloc(groups, sizeof *groups * (size_t)(group_count + 1));
    dirty = realloc(dirty, sizeof *dirty * (size_t)(group_count + 1));
    groups[group_count++] = g;
    for (const char *p = path; (p = strstr(p, "bench/")) != NULL;) {
        int metric = atoi(p += 6) % METRICS;
        wanting[metric].list = realloc(wanting[metric].list, sizeof g * (size_t)(wanting[metric].count + 1));
        wanting[metric].list[wanting[metric].count++] = g;
    }
    return g;
}

static void join(struct client *c) {
    char *path = strchr(c->request, ' '), *end = path ? strchr(path + 1, ' ') : NULL;
    if (!end) { leave(c); return; }
    *end = 0;
    struct group *g = group_of(path + 1);
    if (g->count == g->room_members)
        g->members = realloc(g->members, sizeof c * (size_t)(g->room_members = g->room_members ? g->room_members * 2 : 4));
    c->group = g;
    c->index = g->count;
    g->members[g->count++] = c;
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n: hi\n\n";
    put(c, head, sizeof head - 1);
}

static void take(const char *channel, const char *data, size_t size) {
    int metric = atoi(channel + 6) % METRICS;
    uint64_t id = next_id++;
    for (int i = 0; i < wanting[metric].count; i++) {
        struct group *g = wanting[metric].list[i];
        if (g->size + size + 64 > g->room) g->pending = realloc(g->pending, g->room = (g->size + size + 64) * 2);
        g->size += (size_t)sprintf(g->pending + g->size, "id: %020lu\ndata: ", id);
        memcpy(g->pending + g->size, data, size);
        memcpy(g->pending + g->size + size, "\n\n", 2);
        g->size += size + 2;
        if (!g->dirty) { g->dirty = true; dirty[dirty_count++] = g; }
    }
}

static void flush(void) {
    for (int i = 0; i < dirty_count; i++) {
        struct group *g = dirty[i];
        for (int k = 0; k < g->count; k++) put(g->members[k], g->pending, g->size);
        g->size = 0;
        g->dirty = false;
    }
    dirty_count = 0;
    last_flush = now_s();
}

/* *3 $7 message $n channel $m payload; everything else is skipped by its own length */
static size_t parse(char *data, size_t size) {
    size_t at = 0;
    while (at < size) {
        char *p = data + at, *end = data + size;
        char *part[4];
        size_t length[4];
        if (*p != '*') return size; /* an error reply: nothing that can be gone on with */
        int parts = atoi(p + 1);
        if (!(p = memchr(p, '\n', (size_t)(end - p)))) return at;
        p++;
        for (int i = 0; i < parts && i < 4; i++) {
            char *line = p, *stop = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
            if (!stop) return at;
            p = stop + 1;
            length[i] = 0;
            part[i] = p;
            if (*line == '$') {
                length[i] = strtoul(line + 1, NULL, 10);
                if (p + length[i] + 2 > end) return at;
                p += length[i] + 2;
            }
        }
        if (parts == 4 && length[0] == 8) take(part[2], part[3], length[3]);
        at = (size_t)(p - data);
    }
    return at;
}

int main(int count, char **arguments) {
    if (count < 3) return 2;
    if (count > 3) tick_s = atof(arguments[3]) / 1e3;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    address.sin_port = htons((uint16_t)atoi(arguments[1]));
    if (bind(server, (struct sockaddr *)&address, sizeof address) || listen(server, 4096)) { perror("listen"); return 1; }
    redis = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_port = htons((uint16_t)atoi(arguments[2]));
    if (connect(redis, (struct sockaddr *)&address, sizeof address)) { perror("redis"); return 1; }
    static const char subscribe[] = "*2\r\n$10\r\nPSUBSCRIBE\r\n$7\r\nbench/*\r\n";
    if (write(redis, subscribe, sizeof subscribe - 1) < 0) return 1;
    epoll = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &server}, events[1024];
    epoll_ctl(epoll, EPOLL_CTL_ADD, server, &e);
    e.data.ptr = &redis;
    epoll_ctl(epoll, EPOLL_CTL_ADD, redis, &e);
    char *buffer = malloc(BUFFER);
    size_t held = 0;
    for (;;) {
        double left = dirty_count ? last_flush + tick_s - now_s() : 1;
        if (dirty_count && left <= 0) { flush(); left = 1; }
        int n = epoll_wait(epoll, events, 1024, dirty_count ? (int)(left * 1e3 + 0.999) : 1000);
        for (int i = 0; i < n; i++) {
            void *what = events[i].data.ptr;
            if (what == &server) {
                for (int fd; (fd = accept4(server, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                    struct client *c = calloc(1, sizeof *c);
                    c->fd = fd;
                    e.events = EPOLLIN;
                    e.data.ptr = c;
                    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
                }
            } else if (what == &redis) {
                ssize_t size = read(redis, buffer + held, BUFFER - held);
                if (size <= 0) return 0;
                held += (size_t)size;
                size_t used = parse(buffer, held);
                memmove(buffer, buffer + used, held -= used);
            } else {
                struct client *c = what;
                if (events[i].events & EPOLLOUT) writable(c);
                if (!(events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) continue;
                ssize_t size = recv(c->fd, c->request + c->request_size, sizeof c->request - 1 - (size_t)c->request_size, 0);
                if (size <= 0) { if (size == 0 || errno != EAGAIN) leave(c); continue; }
                c->request_size += (int)size;
                c->request[c->request_size] = 0;
                if (!c->group && strstr(c->request, "\r\n\r\n")) join(c);
                c->request_size = c->group ? 0 : c->request_size;
            }
        }
        if (dirty_count && now_s() >= last_flush + tick_s) flush();
    }
}
