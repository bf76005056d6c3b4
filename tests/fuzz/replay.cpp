// SPDX-License-Identifier: MIT
// Runs a libFuzzer function without libFuzzer: over every file of a corpus, over random inputs, and over mutations of
// the corpus that are the same in each run.
//
//   PROGRAM CORPUS-DIRECTORY SIZE [ROUNDS]
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Input = std::vector<std::uint8_t>;

std::vector<Input> read_corpus(const std::filesystem::path& directory) {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(directory))
        if (entry.is_regular_file()) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    std::vector<Input> corpus;
    for (const auto& file : files) {
        std::ifstream in(file, std::ios::binary);
        corpus.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
    }
    return corpus;
}

Input mutated(Input input, std::mt19937& random) {
    if (input.empty()) return input;
    const std::size_t changes = 1 + random() % 16;
    for (std::size_t change = 0; change < changes; ++change)
        input[random() % input.size()] = static_cast<std::uint8_t>(random() % 4 == 0 ? 0xff : random());
    if (random() % 4 == 0) input.resize(random() % (input.size() + 1));
    return input;
}

void run(const Input& input) {
    // Written before it is run: a crash ends the process on the spot.
    static const char* const kKept = std::getenv("PCIENIC_FUZZ_KEEP");
    if (kKept != nullptr)
        std::ofstream(kKept, std::ios::binary)
            .write(reinterpret_cast<const char*>(input.data()), static_cast<std::streamsize>(input.size()));
    LLVMFuzzerTestOneInput(input.data(), input.size());
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        std::cerr << "usage: " << argv[0] << " CORPUS-DIRECTORY SIZE [ROUNDS]\n"
                  << "PCIENIC_FUZZ_KEEP=FILE keeps the input that is being run, for the one that crashes.\n";
        return 2;
    }
    const std::vector<Input> corpus = read_corpus(argv[1]);
    if (corpus.empty()) {
        std::cerr << argv[1] << " holds no input\n";
        return 2;
    }
    const std::size_t size = std::stoul(argv[2]);
    const std::size_t rounds = argc > 3 ? std::stoul(argv[3]) : 2000;
    for (const Input& input : corpus) run(input);
    std::mt19937 random(1);
    for (std::size_t round = 0; round < rounds; ++round) {
        run(mutated(corpus[random() % corpus.size()], random));
        Input noise(size);
        std::generate(noise.begin(), noise.end(), [&] { return static_cast<std::uint8_t>(random()); });
        run(noise);
    }
    std::cout << corpus.size() << " inputs of the corpus, " << 2 * rounds << " others\n";
}
