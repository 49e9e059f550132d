// Two-dimensional convolution and its gradient: patches side by side, then the products of csrc/heads/linear.isa.cc.
//
// The patches of a whole batch would be kernel² / stride² times its size, so they are made of a few images at a time,
// how many follows from their sizes alone. An image's own result is that of its own rows; only the sums over images, of
// the weight's gradient, run over these groups in order.
#include "heads/functions.h"
#include "memory.h"
#include "mutants.h"
#include "threads/parallel.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {
namespace {

constexpr int64_t kPatchBytes = int64_t{4} << 20;
constexpr int64_t kWorthAWorker = 1 << 14;  // floats copied, below which another worker costs more than it saves

int64_t positions(const Images& images) { return images.rows() * images.columns(); }

int64_t images_at_once(const Images& images) {
  const int64_t bytes = positions(images) * images.patch() * int64_t{sizeof(float)};
  return smaller(images.count, larger<int64_t>(1, kPatchBytes / bytes));
}

// body(image, of its patches the first float) for each of `count` images, in parallel.
template <class Body>
void for_images(const Images& images, int64_t count, const Body& body) {
  const int64_t size = positions(images) * images.patch();
  parallel_for(count, kWorthAWorker / size + 1, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) body(n, n * size);
  });
}

// body(offset in the image, offset in the patches, floats) for every run of neighbours that a row of a window and the
// image share, window by window; rest(offset in the patches, floats) for what lies outside of the image.
template <class Body, class Rest>
void walk(const Images& images, const Body& body, const Rest& rest) {
  const int64_t window_row = images.kernel * images.channels;
  int64_t to = 0;
  for (int64_t r = 0; r < images.rows(); ++r) {
    for (int64_t c = 0; c < images.columns(); ++c) {
      const int64_t left = c * images.stride - images.padding, skipped = larger<int64_t>(0, -left) * images.channels;
      const int64_t beyond = larger<int64_t>(0, left + images.kernel - images.width) * images.channels;
      for (int64_t k = 0; k < images.kernel; ++k, to += window_row) {
        const int64_t row = r * images.stride - images.padding + k;
        if (row < 0 || row >= images.height || skipped + beyond >= window_row) {
          rest(to, window_row);
          continue;
        }
        if (skipped) rest(to, skipped);
        body((row * images.width + left) * images.channels + skipped, to + skipped, window_row - skipped - beyond);
        if (beyond) rest(to + window_row - beyond, beyond);
      }
    }
  }
}

void gather(const Images& images, int64_t count, const float* x, float* patches) {
  for_images(images, count, [&](int64_t n, int64_t at) {
    const float* image = x + n * images.image_size();
    float* to = patches + at;
    walk(
        images,
        [&](int64_t from, int64_t place, int64_t floats) {
          memcpy(to + place, image + from, static_cast<size_t>(floats) * sizeof(float));
        },
        [&](int64_t place, int64_t floats) {
          if (!planted(Bug::convolution_leaves_the_edge_stale))
            memset(to + place, 0, static_cast<size_t>(floats) * sizeof(float));
        });
  });
}

void scatter(const Images& images, int64_t count, const float* patches, float* dx) {
  for_images(images, count, [&](int64_t n, int64_t at) {
    float* image = dx + n * images.image_size();
    const float* from = patches + at;
    memset(image, 0, static_cast<size_t>(images.image_size()) * sizeof(float));
    walk(
        images,
        [&](int64_t to, int64_t place, int64_t floats) {
          const bool is_once = planted(Bug::convolution_counts_overlapping_windows_once);
          for (int64_t i = 0; i < floats; ++i) image[to + i] = (is_once ? 0 : image[to + i]) + from[place + i];
        },
        [](int64_t, int64_t) {});
  });
}

void add(const float* values, int64_t count, float* total) {
  for (int64_t i = 0; i < count; ++i) total[i] += values[i];
}

}  // namespace

template <class T>
void convolution(const PackedLinear<T>& packed, const Images& images, const float* x, float* y) {
  if (images.count == 0) return;
  const int64_t most = images_at_once(images), rows = positions(images);
  float* patches = memory::acquire<float>(most * rows * images.patch());
  for (int64_t begin = 0; begin < images.count; begin += most) {
    const int64_t count = smaller(most, images.count - begin);
    gather(images, count, x + begin * images.image_size(), patches);
    linear(packed, patches, count * rows, y + begin * rows * packed.outputs);
  }
  memory::release(patches);
}

template <class T>
void convolution_gradient(const ConvolutionGradient& call) {
  const Images& images = call.images;
  const int64_t most = larger<int64_t>(1, images_at_once(images)), rows = positions(images);
  const int64_t weights = call.outputs * images.patch();
  float* patches = memory::acquire<float>(most * rows * images.patch());
  float* dpatches = memory::acquire<float>(call.dx ? most * rows * images.patch() : 1);
  float* dweight = memory::acquire<float>(weights + call.outputs);
  float* dbias = dweight + weights;
  memset(call.dweight, 0, static_cast<size_t>(weights) * sizeof(float));
  if (call.dbias) memset(call.dbias, 0, static_cast<size_t>(call.outputs) * sizeof(float));
  for (int64_t begin = 0; begin < images.count; begin += most) {
    const int64_t count = smaller(most, images.count - begin);
    gather(images, count, call.x + begin * images.image_size(), patches);
    linear_gradient<T>({patches, call.weight, call.dy + begin * rows * call.outputs, count * rows, images.patch(),
                        call.outputs, call.dx ? dpatches : nullptr, dweight, call.dbias ? dbias : nullptr});
    if (call.dx) scatter(images, count, dpatches, call.dx + begin * images.image_size());
    if (planted(Bug::convolution_gradient_of_the_last_images_only)) memset(call.dweight, 0, weights * sizeof(float));
    add(dweight, weights, call.dweight);
    if (call.dbias) add(dbias, call.outputs, call.dbias);
  }
  memory::release(dweight);
  memory::release(dpatches);
  memory::release(patches);
}

template void convolution(const PackedLinear<float>&, const Images&, const float*, float*);
template void convolution(const PackedLinear<Pair>&, const Images&, const float*, float*);
template void convolution(const PackedLinear<Quad>&, const Images&, const float*, float*);
template void convolution_gradient<float>(const ConvolutionGradient&);
template void convolution_gradient<Pair>(const ConvolutionGradient&);
#if defined(RNNKIT_ISA_AMX)
template void convolution(const PackedLinear<Triple>&, const Images&, const float*, float*);
template void convolution_gradient<Triple>(const ConvolutionGradient&);
#endif

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
