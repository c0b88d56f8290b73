/** The configuration of a one-node Ceph that takes as little memory and disk as it can, on loopback alone. */
import { join } from 'node:path'
import { MiB } from '#shared/units.ts'

export type CephPlaces = {
  /** Everything lies in it. */
  readonly root: string
  readonly config: string
  readonly keyring: string
  readonly monmap: string
}

export type CephPorts = { readonly mon: number; readonly s3: number }

export const cephPlaces = (root: string): CephPlaces => ({
  root,
  config: join(root, 'ceph.conf'),
  keyring: join(root, 'keyring'),
  monmap: join(root, 'monmap'),
})

/** A sparse file: only what is written takes disk. */
const DISK = 3072 * MiB
/** Ceph refuses less than this for an OSD. */
const OSD_MEMORY = 939_524_096

export const monAddress = ({ mon }: CephPorts): string => `[v2:127.0.0.1:${mon}/0]`

export const cephConfig = (
  { root, keyring }: CephPlaces,
  ports: CephPorts,
  fsid: string,
): string => {
  const settings: Readonly<Record<string, string | number | boolean>> = {
    fsid,
    mon_host: monAddress(ports),
    mon_initial_members: 'a',
    public_addr: '127.0.0.1',
    cluster_addr: '127.0.0.1',
    ms_bind_msgr1: false,
    keyring,
    run_dir: join(root, 'run'),
    admin_socket: join(root, 'run', '$name.asok'),
    log_file: join(root, 'run', '$name.log'),
    log_to_stderr: false,
    mon_cluster_log_file: join(root, 'run', 'cluster.log'),
    crash_dir: join(root, 'run'),
    mon_data: join(root, 'mon'),
    osd_data: join(root, 'osd'),
    rgw_data: join(root, 'rgw'),
    // One copy on one disk, and few placement groups: it holds what a test writes.
    osd_pool_default_size: 1,
    osd_pool_default_min_size: 1,
    osd_pool_default_pg_num: 1,
    osd_pool_default_pg_autoscale_mode: 'off',
    osd_crush_chooseleaf_type: 0,
    mon_allow_pool_size_one: true,
    mon_warn_on_pool_no_redundancy: false,
    // However full the disk of this machine is.
    mon_data_avail_warn: 1,
    mon_data_avail_crit: 0,
    auth_allow_insecure_global_id_reclaim: false,
    osd_objectstore: 'bluestore',
    bluestore_block_size: DISK,
    bluestore_block_db_create: false,
    bluestore_block_wal_create: false,
    bluestore_cache_autotune: false,
    bluestore_cache_size: 32 * MiB,
    osd_memory_target: OSD_MEMORY,
    osd_op_num_shards: 1,
    osd_op_num_threads_per_shard: 2,
    rgw_frontends: `beast endpoint=127.0.0.1:${ports.s3}`,
    rgw_thread_pool_size: 32,
    rgw_enable_gc_threads: false,
    rgw_enable_lc_threads: false,
    rgw_enable_quota_threads: false,
    rgw_run_sync_thread: false,
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`)
  return `[global]\n${lines.join('\n')}\n`
}
