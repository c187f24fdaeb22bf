"""A Proxmox VE API for the tests: fakepve with a template, under control through standard input.

Prints one line when it is ready, {"ready": {"url", "ca", "user", "password", "token", "secret"}}.
Then each line of standard input is a command, {"id": 1, "do": "machines", ...}, answered by one
line {"id": 1, "ok": ...} or {"id": 1, "error": "..."}. Ends when standard input ends. The commands
are the methods `do_...` below; their arguments are the other members of the line.

Where fakepve is not like a node, this makes it so:
- integers of a configuration are numbers, also after they were written from a form;
- a configuration is shown with what the next start will change, unless `current` is asked for;
- an API token works (fakepve makes none that does);
- growing a disk of a VM grows it (fakepve answers with a task that does nothing);
- a new disk in a configuration gets a volume; one that is taken out of it leaves its volume as `unusedN`,
  if that is the VM's own, and out of the boot order it goes, too; removing `unusedN` destroys the volume;
- a running VM takes and lets go of disks and network cards as its `hotplug` says; `revert` takes back
  what waits for the next start; the digest is also that of what waits;
- tasks can end with warnings (`task_ends`), and errors can have the form that they had before
  pve-http-server 5.2.0: the text in the reason phrase alone (`old_errors`).
"""

import argparse
import asyncio
import hashlib
import inspect
import json
import logging
import re
import secrets
import sys
import tempfile
import time
import uuid

from aiohttp import web
from fakepve import FakePve, TaskError
from fakepve.certs import make_cert
from fakepve.lxc import format_size
from fakepve.model import FakeVm, PveError
from fakepve.qemu import drives_of, is_cdrom, join_drive, split_drive, with_mac
from fakepve.server import redact

TEMPLATE = 9000
NODE = "pve1"
SECRET_HEADERS = {"authorization": "Authorization", "cookie": "Cookie", "csrfpreventiontoken": "CSRFPreventionToken"}
# Integers by PVE's schema of GET /nodes/{node}/qemu/{vmid}/config.
INTEGERS = frozenset(
    "acpi autostart balloon cores cpuunits freeze kvm localtime numa onboot protection reboot shares "
    "sockets tablet template tdf vcpus".split()
)


DISK = re.compile(r"(ide|sata|scsi|virtio)\d+")
CARD = re.compile(r"net\d+")
UNUSED = re.compile(r"unused\d+")


def owned(vm, volume):
    """PVE::QemuServer::vm_is_volid_owner, for volumes with PVE's own names."""
    return re.search(rf"[:/](vm|base)-{vm.vmid}-", volume) is not None


def leave_unused(vm, value):
    """PVE::QemuServer::vmconfig_register_unused_drive"""
    volume, options = split_drive(value)
    if is_cdrom(volume, options) or not owned(vm, volume):
        return
    if volume not in (vm.config[key] for key in vm.config if UNUSED.fullmatch(key)):
        free = next(key for key in map("unused{}".format, range(256)) if key not in vm.config)
        vm.config[free] = volume


def apply_pending(vm, keys=None):
    """What waits for the next start comes into force: all of it, or these keys."""
    for key in list(vm.pending) if keys is None else keys:
        if key not in vm.pending:
            continue
        value = vm.pending.pop(key)
        if value is not None:
            vm.config[key] = value
        elif key in vm.config:
            gone = vm.config.pop(key)
            if DISK.fullmatch(key):
                leave_unused(vm, gone)


def digest(vm):
    """Of the whole file, as PVE makes it."""
    whole = [vm.config, vm.snapshots, vm.pending]
    return hashlib.sha1(json.dumps(whole, sort_keys=True).encode()).hexdigest()


FakeVm.apply_pending = apply_pending
FakeVm.digest = digest


class TestPve(FakePve):
    """fakepve that remembers every exchange and whose tasks end as they are told."""

    def __init__(self, **options):
        super().__init__(**options)
        self.began = time.monotonic()
        self.exchanges = []
        self.old_errors = False
        # Task type -> {"error" or "warnings", "lines", "times"}.
        self.ends = {}
        # UPID -> number of warnings.
        self.warned = {}

    def _build_app(self):
        app = super()._build_app()
        app.middlewares.insert(0, self._remember)
        return app

    @web.middleware
    async def _remember(self, request, handler):
        exchange = {
            "at_ms": int((time.monotonic() - self.began) * 1000),
            "method": request.method,
            "path": request.path_qs,
            "credentials": [name for key, name in SECRET_HEADERS.items() if key in request.headers],
            "body": "",
            "status": None,
        }
        self.exchanges.append(exchange)
        response = await handler(request)
        body = await request.read()
        exchange["body"] = redact(body, request.content_type).decode(errors="replace")
        response = self._as_a_node_would(request, response)
        exchange["status"] = response.status
        return response

    def _as_a_node_would(self, request, response):
        if response.content_type != "application/json":
            return response
        if response.status >= 400 and self.old_errors:
            answer = json.loads(response.text)
            answer.pop("message", None)
            return web.json_response(answer, status=response.status, reason=response.reason)
        if request.method == "GET" and re.search(r"/qemu/\d+/config$", request.path) and response.status == 200:
            answer = json.loads(response.text)
            config = answer.get("data") or {}
            if request.query.get("current") not in ("1", "true", "yes", "on"):
                vm = self.vm(int(request.match_info["vmid"]))
                for key, value in (vm.pending if vm else {}).items():
                    if value is None:
                        config.pop(key, None)
                    else:
                        config[key] = value
            for key in INTEGERS & config.keys():
                if isinstance(config[key], str) and re.fullmatch(r"-?\d+", config[key]):
                    config[key] = int(config[key])
            return web.json_response(answer)
        return response

    async def _apply_config(self, vm, user, p):
        """As PVE::API2::Qemu, update_vm_api, where it is about disks and cards."""
        p = dict(p)
        reverts = [key for key in str(p.pop("revert", "")).split(",") if key]
        deletes = [key for key in str(p.get("delete", "")).split(",") if key]
        for key in deletes:
            if UNUSED.fullmatch(key) and self._in_snapshot(vm, vm.config.get(key)):
                raise PveError(500, f"unable to delete '{vm.config[key]}' - volume is still in use (snapshot?)")
        before = dict(vm.config)
        await super()._apply_config(vm, user, p)
        for key in reverts:
            vm.pending.pop(key, None)
        for values in (vm.config, vm.pending):
            for key in p.keys() & values.keys():
                if DISK.fullmatch(key):
                    values[key], _ = self._qm_new_drive(vm.vmid, key, values[key], None)
                elif CARD.fullmatch(key):
                    values[key] = with_mac(values[key])
        for key in deletes:
            if UNUSED.fullmatch(key) and key in before:
                vm.config.pop(key, None)
                vm.pending.pop(key, None)
                if owned(vm, before[key]):
                    self._qm_free(before[key])
            elif DISK.fullmatch(key) and key in before:
                if vm.status != "running":
                    leave_unused(vm, before[key])
                self._out_of_boot_order(vm, key)
        if vm.status == "running":
            apply_pending(vm, [key for key in vm.pending if self._plugs(vm, key)])

    @staticmethod
    def _plugs(vm, key):
        """Whether the running VM takes a change of this at once."""
        hotplug = str(vm.config.get("hotplug", "1"))
        kinds = "network,disk,usb" if hotplug == "1" else hotplug
        if CARD.fullmatch(key):
            return "network" in kinds
        return key.startswith(("scsi", "virtio")) and DISK.fullmatch(key) is not None and "disk" in kinds

    @staticmethod
    def _in_snapshot(vm, volume):
        snapshots = (drives_of(snapshot) for snapshot in vm.snapshots.values())
        return any(volume == held for drives in snapshots for _, held, _ in drives)

    @staticmethod
    def _out_of_boot_order(vm, key):
        boot = str(vm.config.get("boot", ""))
        order = boot.removeprefix("order=").split(";")
        if key in order:
            rest = "order=" + ";".join(device for device in order if device != key)
            (vm.pending if vm.status == "running" else vm.config)["boot"] = rest

    def _routes_resize(self):
        return [("PUT", "/nodes/{node}/qemu/{vmid}/resize", self._qm_resize)]

    async def _qm_resize(self, values, user):
        """As PVE::API2::Qemu, resize_vm: everything is checked in the worker."""
        vm = self.find(values["node"], values["vmid"])
        self.require(user, f"/vms/{vm.vmid}", "VM.Config.Disk")
        disk, size = values["disk"], str(values["size"])

        async def body():
            self._check_free(vm)
            if disk not in vm.config:
                raise TaskError(f"disk '{disk}' does not exist")
            volume, options = split_drive(vm.config[disk])
            now = bytes_of(options.get("size", "0"))
            wanted = now + bytes_of(size[1:]) if size.startswith("+") else bytes_of(size)
            if wanted < now:
                raise TaskError("shrinking disks is not supported")
            storage = self.storages[volume.split(":")[0]]
            if wanted - now > storage.get("avail", wanted):
                raise TaskError(f"unable to resize volume '{volume}': No space left on device")
            if "avail" in storage:
                storage["avail"] -= wanted - now
            vm.config[disk] = join_drive(volume, {**options, "size": format_size(wanted)})

        return await self.task(vm.node, "resize", vm.vmid, user, body, vm=vm)

    @staticmethod
    def _check_free(vm):
        if vm.lock:
            raise TaskError(f"VM is locked ({vm.lock})")

    async def task(self, node, ttype, tid, user, body, vm=None, lock=True, log=()):
        end = self.ends.get(ttype)
        if end is None:
            return await super().task(node, ttype, tid, user, body, vm=vm, lock=lock, log=log)
        if end["times"] is not None:
            end["times"] -= 1
            if end["times"] <= 0:
                del self.ends[ttype]

        async def told():
            if end["error"] is not None:
                if vm is not None and ttype in ("qmclone", "qmcreate"):
                    self.vms.remove(vm)
                raise TaskError(end["error"])
            return await body()

        upid = await super().task(
            node, ttype, tid, user, told, vm=vm, lock=lock, log=list(log) + end["lines"]
        )
        if end["warnings"]:
            self.warned[upid] = end["warnings"]
        return upid

    def _task_view(self, task, listing=False):
        view = super()._task_view(task, listing)
        warnings = self.warned.get(task["upid"])
        key = "status" if listing else "exitstatus"
        if warnings and view.get(key) == "OK":
            view[key] = f"WARNINGS: {warnings}"
        return view

    async def _task_log(self, request):
        task = self.tasks.get(request.match_info["upid"])
        warnings = task and self.warned.get(task["upid"])
        if warnings and task["log"] and task["log"][-1] == "TASK OK":
            task["log"][-1] = f"TASK WARNINGS: {warnings}"
        return await super()._task_log(request)


class Control:
    """The commands."""

    def __init__(self, pve):
        self.pve = pve

    def do_machines(self):
        """Every VM as fakepve has it, whatever its API would show at this moment."""
        return [
            {
                "vmid": vm.vmid,
                "name": vm.name,
                "node": vm.node,
                "status": vm.status,
                "template": bool(vm.template),
                "lock": vm.lock,
                "config": vm.config,
                "pending": vm.pending,
            }
            for vm in self.pve.vms
        ]

    def do_volumes(self, storage):
        """Everything on a storage, by what it is called there."""
        return sorted(self.pve._volumes(storage))

    def do_add_vm(self, vmid, name, status="stopped", node=NODE, config=None, template=False, lock=None):
        self.pve.add_vm(
            vmid, name, status=status, node=node, template=template, lock=lock, config={**machine(), **(config or {})}
        )

    def do_remove_vm(self, vmid):
        self.pve.vms.remove(self._vm(vmid))

    def do_set_vm(self, vmid, attributes=None, config=None, unset=()):
        """`attributes`: fakepve's own (`acpi`, `shutdown_secs`, `start_error`, `status`, `node`, `lock`)."""
        vm = self._vm(vmid)
        for key, value in (attributes or {}).items():
            if not hasattr(vm, key):
                raise ValueError(f"a VM of fakepve has no {key}")
            setattr(vm, key, value)
        vm.config.update(config or {})
        for key in unset:
            vm.config.pop(key, None)

    def do_exchanges(self, clear=False):
        found = list(self.pve.exchanges)
        if clear:
            self.pve.exchanges.clear()
        return found

    def do_fail(self, method, path, **how):
        """See FakePve.fail: `error` by name, or `status` and `message`; `times`."""
        self.pve.fail(method, path, **how)

    def do_stop_failing(self):
        self.pve.failures.clear()
        self.pve.ends.clear()

    def do_errors_for(self, method, path):
        return self.pve.errors_for(method, path)

    def do_task_ends(self, type, error=None, warnings=0, lines=(), times=1):
        """The next tasks of this type (`qmclone`, `qmstart`) end with an error or with warnings."""
        self.pve.ends[type] = {"error": error, "warnings": warnings, "lines": list(lines), "times": times}

    def do_old_errors(self, on=True):
        self.pve.old_errors = on

    def do_storage(self, name, **options):
        """Sets members of a storage; `avail` is its free space in bytes."""
        self.pve.storages[name].update(options)

    def do_settings(self, **values):
        """Sets fakepve's own knobs: `time_scale`, `ticket_ttl`, `lock_wait`, `quorate`, `version`, …"""
        for key, value in values.items():
            if not hasattr(self.pve, key):
                raise ValueError(f"fakepve has no {key}")
            setattr(self.pve, key, value)

    async def do_call(self, name, args=(), options=None):
        """Calls a public method of fakepve: `ceph_slow`, `slow_network`, `revoke_tickets`, …"""
        if name.startswith("_") or not callable(getattr(self.pve, name, None)):
            raise ValueError(f"fakepve has no method {name}")
        result = getattr(self.pve, name)(*args, **(options or {}))
        if inspect.isawaitable(result):
            result = await result
        return result if isinstance(result, (str, int, float, bool, list, dict, type(None))) else None

    def _vm(self, vmid):
        vm = self.pve.vm(vmid)
        if vm is None:
            raise ValueError(f"no VM {vmid}")
        return vm

    async def answer(self, line):
        number = None
        try:
            command = json.loads(line)
            number = command.pop("id", None)
            do = getattr(self, "do_" + command.pop("do"), None)
            if do is None:
                raise ValueError("no such command")
            result = do(**command)
            if inspect.isawaitable(result):
                result = await result
            return {"id": number, "ok": result}
        except Exception as error:  # whatever it is, the test that asked wants to read it
            return {"id": number, "error": f"{type(error).__name__}: {error}"}


def machine():
    """What every VM here has in common."""
    return {
        "boot": "order=scsi0",
        "cores": 1,
        "memory": "1024",
        "net0": f"virtio={mac()},bridge=vmbr0",
        "scsihw": "virtio-scsi-pci",
        "smbios1": f"uuid={uuid.uuid4()}",
    }


def bytes_of(size):
    """Bytes of `8G`, `8192M`, `1024`."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
    unit = units.get(size[-1:])
    return int(float(size[:-1]) * unit) if unit else int(size)


def mac():
    return ":".join(["BC", "24", "11"] + [f"{byte:02X}" for byte in secrets.token_bytes(3)])


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machines", type=int, default=0, help="running VMs that exist already, from VMID 100 on")
    parser.add_argument("--nodes", type=int, default=1, help="nodes of the cluster: pve1, pve2, …")
    parser.add_argument(
        "--slow-clones",
        type=float,
        default=0.0,
        help="real seconds that a clone takes; the template's disk is then on a storage of its own, ceph-pool",
    )
    options = parser.parse_args()

    # Requests go on while a client hangs up; what aiohttp says about that is no news here.
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)
    host = "127.0.0.1"
    pve = TestPve(user="root@pam", password="pve-" + secrets.token_hex(8), host=host, port=0)
    for number in range(2, options.nodes + 1):
        pve.add_node(f"pve{number}")
    storage = "local-lvm"
    if options.slow_clones:
        storage = "ceph-pool"
        pve.add_ceph_storage(storage)
        pve.ceph_slow(options.slow_clones)
        pve.time_scale = 1.0
    token, secret = "root@pam!enginehouse", str(uuid.uuid4())
    pve.apitokens[token] = secret
    disk = {"scsi0": f"{storage}:base-{TEMPLATE}-disk-0,size=8G"}
    pve.add_vm(TEMPLATE, "template", node=NODE, template=True, config={**machine(), **disk, "template": 1})
    for number in range(options.machines):
        vmid = 100 + number
        disk = {"scsi0": f"local-lvm:vm-{vmid}-disk-0,size=8G"}
        pve.add_vm(vmid, f"old-{number}", node=NODE, status="running", config={**machine(), **disk})

    with tempfile.TemporaryDirectory(prefix="fakepve-") as directory:
        ca, key, _ = make_cert(directory, hosts=(host,))
        await pve.start(ca, key)
        ready = {
            "url": pve.url,
            "ca": open(ca, encoding="ascii").read(),
            "user": pve.user,
            "password": pve.password,
            "token": token,
            "secret": secret,
        }
        print(json.dumps({"ready": ready}), flush=True)

        control = Control(pve)
        reader = asyncio.StreamReader(limit=16 * 1024 * 1024)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            print(json.dumps(await control.answer(line)), flush=True)
        await pve.stop()


asyncio.run(main())
