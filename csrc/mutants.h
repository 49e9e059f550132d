// Planted bugs, which tests/mutants must find. A build with `-DRNNKIT_MUTANTS=ON` holds all of them, and
// `_core.plant(n)` switches the n-th one on: so every bug is tried in every instruction set for the price of one build.
// In any other build every `planted(...)` is a constant false and leaves nothing behind.
#pragma once

namespace rnnkit {

enum class Bug {
  none,
  input_gates_in_another_order,
  gradient_cut_every_32_steps,
  memory_gradient_not_carried,
  state_taken_at_the_last_step,
  bias_counted_twice,
  padding_not_zeroed,
  padding_lanes_left_stale,
  recurrent_gradient_from_the_h_after,
  candidate_bias_gradient_without_r,
  reset_path_missing_in_dh,
  reversed_row_reads_the_step_after,
  last_rows_missing_in_weight_gradient,
  first_output_gradient_ignored,
  final_memory_gradient_ignored,
  initial_gradients_left_sorted,
  repeated_ids_counted_once,
  tanh_derivative_without_square,
  bias_gradient_of_the_last_block_only,
  forget_gate_multiplies_the_new_memory,
  update_gate_mixes_the_other_way,
  dx_left_sorted,
  chunk_reads_the_previous_chunks_rows,
  initial_memory_taken_from_the_wrong_row,
  output_gate_peeps_at_the_memory_before,
  no_gradient_through_the_peepholes,
  peephole_gradient_of_the_last_block_only,
  coupled_gate_forgets_nothing,
  shares_of_two_gates_taken_for_gates,
  blocks_of_the_vocabulary_added_as_they_are,
  weight_of_a_row_not_on_its_target,
  gradient_of_the_last_chunk_only,
  softmax_over_lanes_past_the_end,
  every_second_step_reads_the_first_h,
  drawn_tokens_are_not_punished,
  kept_rows_draw_from_the_first_streams,
  min_p_is_ignored,
  zoneout_keeps_the_new,
  zoneout_gradient_not_passed_on,
  zoneout_hides_the_new_memory,
  reset_hidden_not_masked,
  recurrent_mask_missing_in_dh,
  recurrent_mask_missing_in_weight_gradient,
  trace_in_another_order,
  half_of_the_units_projected,
  output_gradient_past_the_projection,
  projected_gradient_holds_what_zoneout_kept,
  every_row_has_the_scale_of_the_first,
  hidden_in_eight_bits_is_not_reset,
  norm_counts_padding_lanes,
  norm_variance_about_zero,
  norm_gradient_without_its_mean,
  norm_gradient_without_its_slope,
  norm_gain_gradient_of_the_last_block_only,
  normalised_memory_carried,
  convolution_gradient_of_the_last_images_only,
  convolution_counts_overlapping_windows_once,
  convolution_leaves_the_edge_stale,
  attention_of_the_first_row,
  attention_past_the_length,
  attention_gradient_without_its_mean,
  attention_score_gradient_of_the_last_row,
  smoothing_missing_in_the_loss,
  smoothing_missing_in_the_gradient,
};

#ifdef RNNKIT_MUTANTS
extern int planted_bug;
__attribute__((always_inline)) inline bool planted(Bug bug) { return static_cast<int>(bug) == planted_bug; }
#else
consteval bool planted(Bug) { return false; }
#endif

}  // namespace rnnkit
