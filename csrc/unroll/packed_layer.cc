// Where every weight of a layer lies for its products.
#include "unroll/packed_layer.h"

#include <algorithm>

#include "mutants.h"
#include "unroll/padded.h"

namespace rnnkit {
namespace {

// Where the slots [first, first + gates.size) of every block lie, and which rows of torch's weights they hold.
std::vector<Place> places(const CellInfo& cell, int64_t hidden_size, int first_slot, int num_slots, const int* gates) {
  std::vector<Place> result;
  for (int64_t unit = 0; unit < hidden_size; unit += kLanes)
    for (int slot = 0; slot < num_slots; ++slot)
      result.push_back({gates[slot] * hidden_size + unit, std::min(kLanes, hidden_size - unit),
                        (unit / kLanes * cell.num_slots + first_slot + slot) * kLanes});
  return result;
}

// Whole blocks of units in a panel whenever they fit.
int64_t panel_of(int num_slots) { return kPanel / num_slots * num_slots; }

}  // namespace

template <class S, class T>
PackedLayer<S, T>::PackedLayer(const RecurrentTable<S, T>& table, const CellInfo& cell, const Arguments& arguments)
    : table_(table), arguments_(arguments) {
  const int64_t H = hidden_size(), P = output_size();
  input_places_ = places(cell, H, 0, cell.num_gates, cell.input_gates);
  if (planted(Bug::input_gates_in_another_order))
    std::swap(input_places_[0].row, input_places_[cell.num_gates - 1].row);
  weights_.cell = &cell;
  weights_.input_size = input_size();
  weights_.hidden_size = H;
  weights_.blocks = ceil_div(H, kLanes);
  weights_.output_size = P;
  weights_.output_blocks = ceil_div(P, kLanes);
  weights_.row = weights_.blocks * cell.num_slots * kLanes;
  weights_.input_places = input_places_.data();

  // A slot that both products fill gets both biases at once; the input projection adds them.
  const int late = cell.num_slots - cell.num_gates;
  input_bias_ = Buffer<S>(weights_.blocks * cell.num_gates * kLanes);
  late_bias_ = Buffer<S>(weights_.blocks * late * kLanes);
  std::fill_n(input_bias_.get(), weights_.blocks * cell.num_gates * kLanes, S(0));
  std::fill_n(late_bias_.get(), weights_.blocks * late * kLanes, S(0));
  const auto add = [&](const S* bias, int gate, int slot) {
    for (int64_t unit = 0; bias != nullptr && unit < H; ++unit) {
      const int64_t block = unit / kLanes, lane = unit % kLanes;
      S* at = slot < cell.num_gates ? input_bias_.get() + (block * cell.num_gates + slot) * kLanes
                                    : late_bias_.get() + (block * late + slot - cell.num_gates) * kLanes;
      at[lane] += bias[gate * H + unit];
    }
  };
  for (int slot = 0; slot < cell.num_gates; ++slot) add(arguments_.bias_ih, cell.input_gates[slot], slot);
  for (int p = 0; p < cell.num_products; ++p) {
    const RecurrentProduct& product = cell.products[p];
    for (int i = 0; i < product.num_slots; ++i)
      for (int times = planted(Bug::bias_counted_twice) ? 2 : 1; times > 0; --times)
        add(arguments_.bias_hh, product.gates[i], product.first_slot + i);
    recurrent_places_[p] = places(cell, H, product.first_slot, product.num_slots, product.gates);
    weights_.recurrent_places[p] = recurrent_places_[p].data();
    weights_.recurrent[p] = pack_rows(arguments_.weight_hh, P, recurrent_places_[p], panel_of(product.num_slots));
  }
  if (cell.is_projected) {
    for (int64_t unit = 0; unit < P; unit += kLanes)
      projection_places_.push_back({unit, std::min(kLanes, P - unit), unit});
    weights_.projection_places = projection_places_.data();
    weights_.projection = pack_rows(arguments_.weight_hr, H, projection_places_, kPanel);
  }
  weights_.input_bias = input_bias_.get();
  weights_.late_bias = late_bias_.get();
  peepholes_ = Buffer<S>(weights_.blocks * cell.num_peepholes * kLanes);
  for (int64_t block = 0; block < weights_.blocks; ++block)
    for (int p = 0; p < cell.num_peepholes; ++p)
      copy_padded(arguments_.weight_peephole + p * H + block * kLanes, std::min(kLanes, H - block * kLanes), kLanes,
                  peepholes_.get() + (block * cell.num_peepholes + p) * kLanes);
  weights_.peepholes = peepholes_.get();
  if (arguments_.weight_norm_ih != nullptr) pack_norms();
}

template <class S, class T>
void PackedLayer<S, T>::pack_norms() {
  const CellInfo& cell = info();
  const NormedRow at = normed_row(cell, weights_.blocks);
  const int64_t H = hidden_size(), padded = weights_.blocks * kLanes;
  weights_.row = at.size;
  norms_ = Buffer<S>(at.moments - at.products[0]);  // gains lie as the values of a row do
  std::fill_n(norms_.get(), at.moments - at.products[0], S(0));
  for (int p = 0; p <= cell.num_products; ++p) {
    S* to = norms_.get() + at.products[p] - at.products[0];
    weights_.norms.products[p] = to;
    const S* gain = p == 0 ? arguments_.weight_norm_ih : arguments_.weight_norm_hh;
    for (const Place& place : p == 0 ? input_places_ : recurrent_places_[p - 1]) {
      std::copy_n(gain + place.row, place.lanes, to);
      to += kLanes;
    }
  }
  if (cell.num_parts == 1) return;
  S* const memory = norms_.get() + at.squashed - at.products[0];
  copy_padded(arguments_.weight_norm_c, H, padded, memory);
  if (arguments_.bias_norm_c != nullptr) std::copy_n(arguments_.bias_norm_c, H, memory + padded);
  weights_.norms.memory = memory;
  weights_.norms.memory_bias = memory + padded;
}

template <class S, class T>
Packed<T> PackedLayer<S, T>::pack_rows(const S* weight, int64_t inputs, const std::vector<Place>& places,
                                       int64_t panel) {
  Packed<T> packed{nullptr, packed_depth<T>(inputs), static_cast<int64_t>(places.size()), panel};
  packed_.emplace_back(packed.size());
  table_.pack_rows(weight, inputs, places.data(), packed, packed_.back().get());
  packed.data = packed_.back().get();
  return packed;
}

template <class S, class T>
Packed<T> PackedLayer<S, T>::pack_columns(const S* weight, int64_t columns, const std::vector<Place>& places) {
  const auto num_places = static_cast<int64_t>(places.size());
  Packed<T> packed{nullptr, stored<T>(num_places * kLanes), ceil_div(columns, kLanes), kPanel};
  packed_.emplace_back(packed.size());
  table_.pack_columns(weight, columns, places.data(), num_places, packed, packed_.back().get());
  packed.data = packed_.back().get();
  return packed;
}

template <class S, class T>
const Weights<S, T>& PackedLayer<S, T>::for_forward(bool one_hot) {
  const std::lock_guard<std::mutex> lock(packing_);
  if (one_hot && weights_.input_table == nullptr) {
    const auto vectors = static_cast<int64_t>(input_places_.size());  // one panel holds them all: [input][vectors][16]
    const Packed<S> packed{nullptr, input_size(), vectors, vectors};
    input_table_ = Buffer<S>(packed.size());
    table_.pack_table(arguments_.weight_ih, input_size(), input_places_.data(), packed, input_table_.get());
    weights_.input_table = input_table_.get();
  } else if (!one_hot && weights_.input.data == nullptr) {
    weights_.input = pack_rows(arguments_.weight_ih, input_size(), input_places_, panel_of(info().num_gates));
  }
  return weights_;
}

template <class S, class T>
const Weights<S, T>& PackedLayer<S, T>::for_backward(bool need_dx) {
  const std::lock_guard<std::mutex> lock(packing_);
  for (int p = 0; p < info().num_products; ++p)
    if (weights_.recurrent_back[p].data == nullptr)
      weights_.recurrent_back[p] = pack_columns(arguments_.weight_hh, output_size(), recurrent_places_[p]);
  if (info().is_projected && weights_.projection_back.data == nullptr)
    weights_.projection_back = pack_columns(arguments_.weight_hr, hidden_size(), projection_places_);
  if (need_dx && weights_.input_back.data == nullptr)
    weights_.input_back = pack_columns(arguments_.weight_ih, input_size(), input_places_);
  return weights_;
}

template class PackedLayer<float>;
template class PackedLayer<float, Pair>;
template class PackedLayer<float, Triple>;
template class PackedLayer<float, Quad>;
template class PackedLayer<double>;

}  // namespace rnnkit
