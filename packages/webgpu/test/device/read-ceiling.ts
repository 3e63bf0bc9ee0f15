import { BUFFER_USAGE } from '../../src/gpu-constants.ts'

const SHADER = /* wgsl */ `
@group(0) @binding(0) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> sink: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  var bits = vec4<u32>(0u);
  let step = grid.x * WORKGROUP * LOADS;
  for (var at = workgroup.x * WORKGROUP * LOADS + local; at < arrayLength(&source); at += step) {
    var words: array<vec4<u32>, LOADS>;
    for (var i = 0u; i < LOADS; i++) { words[i] = source[min(at + i * WORKGROUP, arrayLength(&source) - 1u)]; }
    for (var i = 0u; i < LOADS; i++) { bits ^= words[i]; }
  }
  let folded = bits.x ^ bits.y ^ bits.z ^ bits.w;
  // Never true for the zeros that the buffer holds, but the compiler does not know.
  if (folded == 0x12345678u) { sink[local] = folded; }
}`

/**
 * The fastest plain read that WebGPU reaches: a buffer folded by exclusive or, in several shapes.
 *
 * @param device - The device.
 * @param byteLength - Size of the buffer; several times the cache.
 * @returns 10^9 bytes a second.
 */
export async function measureReadCeiling(device: GPUDevice, byteLength: number): Promise<number> {
  const size = Math.min(byteLength, device.limits.maxStorageBufferBindingSize) & ~255
  const source = device.createBuffer({ size, usage: BUFFER_USAGE.STORAGE })
  const sink = device.createBuffer({ size: 4096, usage: BUFFER_USAGE.STORAGE })
  let best = 0
  for (const workgroup of [128, 256]) {
    for (const loads of [1, 4, 8]) {
      const module = device.createShaderModule({
        code: SHADER.replaceAll('WORKGROUP', `${workgroup}u`).replaceAll('LOADS', `${loads}u`),
      })
      const pipeline = await device.createComputePipelineAsync({
        layout: 'auto',
        compute: { module },
      })
      const entries = [source, sink].map((buffer, binding) => ({ binding, resource: { buffer } }))
      const layout = pipeline.getBindGroupLayout(0)
      const group = device.createBindGroup({ layout, entries })
      const most = Math.ceil(size / (16 * workgroup * loads))
      for (const groups of new Set([1024, 4096, 16384].map((wanted) => Math.min(wanted, most)))) {
        const submit = async (count: number): Promise<number> => {
          const start = performance.now()
          const encoder = device.createCommandEncoder()
          const pass = encoder.beginComputePass()
          pass.setPipeline(pipeline)
          pass.setBindGroup(0, group)
          for (let i = 0; i < count; i++) pass.dispatchWorkgroups(groups)
          pass.end()
          device.queue.submit([encoder.finish()])
          await device.queue.onSubmittedWorkDone()
          return performance.now() - start
        }
        await submit(8)
        const rates: number[] = []
        for (let i = 0; i < 7; i++) {
          const short = await submit(4)
          rates.push((24 * size) / ((await submit(28)) - short) / 1e6)
        }
        rates.sort((a, b) => a - b)
        best = Math.max(best, rates[3] as number)
      }
    }
  }
  source.destroy()
  sink.destroy()
  return best
}
